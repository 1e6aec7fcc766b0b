"""edgetrain's kernels in ExecuTorch's Python bindings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.program import load_program
from edgetrain.errors import EdgetrainError, UsageError
from edgetrain.factories import Trusted
from edgetrain.runner import KERNELS_OVERRIDE, find_kernels
from edgetrain.runtimes import kernels, open_session

needs_kernels = pytest.mark.skipif(find_kernels() is None, reason="needs the library of kernels")

MOBILE = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, inside, outside, stride):
        super().__init__()
        wide = 4 * inside
        self.body = nn.Sequential(
            nn.Conv2d(inside, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, outside, 1, bias=False), nn.BatchNorm2d(outside),
        )
        self.skip = stride == 1 and inside == outside

    def forward(self, x):
        return x + self.body(x) if self.skip else self.body(x)


class Mobile(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), Block(8, 8, 1), Block(8, 12, 2))
        self.head = nn.Linear(12, num_classes)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


def make(num_classes=10):
    torch.manual_seed(0)
    return Mobile(num_classes)
"""

# Runs a program's first method call with and without our kernels, and prints the kernels' events.
EVENTS = """
import json, sys
from pathlib import Path
import torch
from executorch.extension.pybindings import _C
from edgetrain.runtimes.kernels import register_kernels

program, weights, dump, kernels = sys.argv[1:]
if kernels == "fast":
    register_kernels(Path(program).read_bytes())
loaded = _C._load_program(program, data_path=weights, enable_etdump=True)
loaded.load_method("gradients").call((torch.ones(3, 1, 8, 8), torch.tensor([1, 2, 3])))
loaded.write_etdump_result_to_file(dump)
from executorch.devtools import Inspector
events = [e.name for block in Inspector(etdump_path=dump).event_blocks for e in block.events]
print(json.dumps([name for name in events if "_call_" in name]))
"""


@pytest.fixture(scope="module")
def mobile_program(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trusted]:
    """Depthwise and pointwise convolutions, frozen batch norm, strides. With its `--model`."""
    from edgetrain.config.stages import ExportCommand, TrainCommand
    from edgetrain.export import export
    from edgetrain.training import train

    folder = tmp_path_factory.mktemp("mobile")
    (folder / "edgetrain_mobile_model.py").write_text(MOBILE)
    sys.path.insert(0, str(folder))
    name = "edgetrain_mobile_model:make"
    config = {
        "data": {"name": "digits", "images_per_class": 20, "test_images_per_class": 10},
        "model": {"name": name},
        "train": {"epochs": 1, "batch_size": 32, "threads": 1, "device": "cpu"},
    }
    checkpoint = train(TrainCommand.model_validate(config), folder / "model.pth").checkpoint
    trusted = Trusted(model=name)
    return export(ExportCommand(), checkpoint, folder / "model", trusted=trusted).program, trusted


def _events(program: Path, wanted: str, dump: Path) -> list[str]:
    files = [program, program.with_suffix(".ptd"), dump]
    command = [sys.executable, "-c", EVENTS, *map(str, files), wanted]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@needs_kernels
def test_they_run(mobile_program: tuple[Path, Trusted], tmp_path: Path) -> None:
    stock = _events(mobile_program[0], "stock", tmp_path / "stock.etdp")
    assert {name.split("_call_")[0] for name in stock} == {"native"}
    fast = _events(mobile_program[0], "fast", tmp_path / "fast.etdp")
    operators = [name.split("_call_")[1] for name in fast]
    assert sorted(operators) == sorted(name.split("_call_")[1] for name in stock)
    ours = {name.removeprefix("edgetrain_call_") for name in fast if name.startswith("edgetrain_")}
    assert ours >= {"convolution.out", "convolution_backward.out", "mm.out", "add.out", "mul.out"}
    convolutions = [name for name in fast if "convolution" in name]
    assert all(name.startswith("edgetrain_") for name in convolutions)


@needs_kernels
@pytest.mark.parametrize("size", [1, 32])
def test_they_agree_with_eager(mobile_program: tuple[Path, Trusted], batch: Any, size: int) -> None:
    program = load_program(mobile_program[0])
    device = open_session("executorch", program, threads=2, kernels="fast")
    eager = open_session("torch", program, trusted=mobile_program[1])
    images, labels = batch(size)
    inputs, targets = {"inputs": images}, {"targets": labels}
    for _ in range(3):
        found, expected = device.forward_backward(inputs, targets), eager.forward_backward(inputs, targets)
        assert found.loss == pytest.approx(expected.loss, rel=1e-5)
        assert torch.equal(found.predictions["class"], expected.predictions["class"])
        for name, gradient in eager.gradients.items():
            assert (device.gradients[name] - gradient).norm() <= 1e-4 * gradient.norm(), name
        for session in (device, eager):
            with torch.no_grad():
                for name, parameter in session.parameters.items():
                    parameter.sub_(session.gradients[name], alpha=0.05)
    outputs = [session.predict(inputs)["output"] for session in (device, eager)]
    assert torch.allclose(*outputs, rtol=1e-4, atol=1e-5)


@needs_kernels
def test_they_stay(digits_program: Any) -> None:
    program = load_program(digits_program.program)
    for _ in range(2):
        assert open_session("executorch", program).kernels == "fast"
    with pytest.raises(EdgetrainError, match="use another process for the stock ones"):
        open_session("executorch", program, kernels="stock")


def test_without_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kernels, "find_kernels", lambda: None)
    assert kernels.choose_kernels(None) == kernels.choose_kernels("stock") == "stock"
    with pytest.raises(EdgetrainError, match="or use --kernels stock"):
        kernels.choose_kernels("fast")
    monkeypatch.setenv(KERNELS_OVERRIDE, str(tmp_path / "nothing.so"))
    with pytest.raises(UsageError, match="does not exist; correct or unset it"):
        find_kernels()


def test_a_library_that_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "library.so"
    broken.write_bytes(b"no library")
    monkeypatch.setattr(kernels, "find_kernels", lambda: broken)
    with pytest.raises(EdgetrainError, match="install edgetrain again, or use --kernels stock"):
        kernels.register_kernels(b"")
