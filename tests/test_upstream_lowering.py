"""What is saved while lowering changes no program."""

from __future__ import annotations

import inspect
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from executorch.exir import to_edge
from torch import Tensor, fx, nn

from edgetrain.upstream import edge_settings
from edgetrain.upstream_lowering import kept_values, plain_tracing


class Model(nn.Module):
    """Numbers among tensors, which a pass makes tensors of; views; several results; [B, 3, 8, 8] → [B, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        first, second = (2 * torch.relu(self.conv(x)) + 1).chunk(2, 1)
        pooled = nn.functional.max_pool2d(first - second.clamp(min=0.1), 2)
        return torch.softmax(self.head(pooled.flatten(1)), 1)


def lowered(monkeypatch: pytest.MonkeyPatch, *, kept: bool) -> tuple[bytes, int]:
    """A program, and how many operators its passes ran."""
    torch.manual_seed(0)
    model = Model().eval().requires_grad_(False)
    batch = torch.export.Dim("batch", min=1, max=8)
    program = torch.export.export(model, (torch.randn(3, 3, 8, 8),), dynamic_shapes=({0: batch},))
    ran = 0
    run = fx.Interpreter.call_function

    def counting(self: fx.Interpreter, *args: Any, **kwargs: Any) -> Any:
        nonlocal ran
        ran += type(self) is fx.Interpreter
        return run(self, *args, **kwargs)

    with monkeypatch.context() as patched, kept_values() if kept else nullcontext():
        patched.setattr(fx.Interpreter, "call_function", counting)
        manager = to_edge(program, compile_config=edge_settings()).to_executorch()
    return manager.buffer, ran


def test_programs_stay_the_same_and_operators_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, before = lowered(monkeypatch, kept=False)
    found, after = lowered(monkeypatch, kept=True)
    assert found == expected
    assert after < before / 2


def test_plain_tracing_changes_no_program_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fx.GraphModule.recompile, fx.traceback.NodeSource, fx.config.do_not_emit_stack_traces
    expected, _ = lowered(monkeypatch, kept=True)
    with plain_tracing():
        found, _ = lowered(monkeypatch, kept=True)
    assert found == expected
    assert (fx.GraphModule.recompile, fx.traceback.NodeSource, fx.config.do_not_emit_stack_traces) == before


def test_code_is_written_when_it_is_asked_for() -> None:
    with plain_tracing():
        traced = fx.symbolic_trace(nn.Sequential(nn.Linear(3, 3), nn.ReLU()))
        for node in traced.graph.nodes:
            if node.target == "1":
                node.replace_all_uses_with(node.args[0])
        traced.graph.eliminate_dead_code()
        traced.recompile()
        x = torch.randn(2, 3)
        torch.testing.assert_close(traced(x), traced.get_submodule("0")(x))
    assert "relu" not in traced.code
    assert "input" in str(inspect.signature(traced.forward))


def test_the_list_of_edge_operators_is_that_of_the_other_parser() -> None:
    code = "from executorch.exir.dialects.edge import _ops; print(sorted(_ops._edge_dialect_info.items()))"
    first = "from edgetrain.upstream_lowering import import_lowering; import_lowering(); "
    ours, theirs = (
        subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True).stdout
        for text in (first + code, code)
    )
    assert len(ours) > 1000
    assert ours == theirs


_WITHOUT_SHAPES = """
import sys
from pathlib import Path
from edgetrain.upstream_lowering import complete_torch, import_torch
import_torch()
import torch
print("torch._meta_registrations" in sys.modules, "torch._refs" in sys.modules)
torch.save({"weight": torch.ones(2, 3)}, sys.argv[1])
from edgetrain.artifacts.unpickling import read_torch_file
print(list(read_torch_file(Path(sys.argv[1]))))
complete_torch()
model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Hardswish()).eval()
x = torch.randn(2, 3, 8, 8)
program = torch.export.export(model, (x,))
print(torch.equal(program.module()(x), model(x)))
"""


def test_torch_is_completed_before_it_captures(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", _WITHOUT_SHAPES, str(tmp_path / "x.pth")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False False", "['weight']", "True"]
