"""What is saved while lowering changes no program."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from executorch.exir import to_edge
from torch import Tensor, fx, nn

from edgetrain.upstream.edge import edge_settings
from edgetrain.upstream.lowering import spared_lowering
from edgetrain.upstream.tracing import plain_tracing


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

    with monkeypatch.context() as patched, spared_lowering() if kept else nullcontext():
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
