"""What is left out of imports is not missed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_list_of_edge_operators_is_that_of_the_other_parser() -> None:
    code = "from executorch.exir.dialects.edge import _ops; print(sorted(_ops._edge_dialect_info.items()))"
    first = "from edgetrain.upstream.imports import import_lowering; import_lowering(); "
    ours, theirs = (
        subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True).stdout
        for text in (first + code, code)
    )
    assert len(ours) > 1000
    assert ours == theirs


_WITHOUT_SHAPES = """
import sys
from pathlib import Path
from edgetrain.upstream.imports import complete_torch, import_torch
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
