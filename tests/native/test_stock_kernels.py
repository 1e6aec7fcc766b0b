"""A device's folder without ExecuTorch's own kernels, which are most of its bytes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgetrain.artifacts.tensors import write_tensors

Runner = Callable[..., Any]
MISSING = "put libexecutorch_kernels_optimized.so beside libexecutorch.so"


@pytest.fixture(scope="module")
def lean(native_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Runs a command of the runner as it is installed for a device, without ExecuTorch's kernels."""
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    cmake = shutil.which("cmake", path=path)
    if cmake is None:
        pytest.skip("needs CMake (pip install cmake)")
    folder = tmp_path_factory.mktemp("lean")
    for component in ("runner", "kernels"):
        command = [cmake, "--install", native_build, "--prefix", folder / component, "--component", component]
        subprocess.run(command, check=True, capture_output=True)
    assert sorted(p.name for p in (folder / "kernels").rglob("*.so")) == [
        "libexecutorch_kernels_optimized.so"
    ]
    environment = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}

    def call(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [folder / "runner" / "bin" / "edgetrain-runner", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, **options)

    return call


def _losses(text: str) -> list[float]:
    return [loss for line in map(json.loads, text.splitlines()) for loss in line.get("losses", [])]


def test_a_program_that_needs_none_of_them(
    lean: Runner, runner: Path, digits_program: Any, tmp_path: Path
) -> None:
    (program,) = map(json.loads, lean("info", digits_program.program).stdout.splitlines())
    assert program["stock_kernels"] == []
    data = tmp_path / "batches.ptd"
    torch.manual_seed(0)
    write_tensors(data, {"inputs": torch.randn(20, 1, 8, 8), "targets": torch.randint(0, 10, (20,))})
    command = ["bench", digits_program.program, "--data", data, "--batch-size", 4]
    without = lean(*command, input="5\n")
    assert without.returncode == 0, without.stderr
    complete = subprocess.run([runner, *map(str, command)], input="5\n", capture_output=True, text=True)
    assert len(_losses(without.stdout)) == 5
    assert _losses(without.stdout) == _losses(complete.stdout)


class Bent(nn.Module):
    """Calls an operator that edgetrain has no kernel of; [B, 2, 4] and labels → loss, predictions."""

    needs = "aten::atan.out"

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 3)

    def prepare(self, x: Tensor) -> Tensor:
        return x.atan().flatten(1)

    def forward(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.head(self.prepare(x))
        return nn.functional.cross_entropy(logits, target), logits.detach().argmax(1)


class Doubled(Bent):
    """Calls one that it has a kernel of, in a way which that does not cover."""

    needs = "aten::convolution.out"

    def prepare(self, x: Tensor) -> Tensor:
        return nn.functional.conv1d(x.double(), torch.ones(2, 2, 1).double()).float().flatten(1)


@pytest.fixture(params=[Bent, Doubled])
def needy(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    """A program that needs a stock kernel, and the operator."""
    from executorch.exir import EdgeCompileConfig, to_edge
    from torch.export.experimental import _export_forward_backward

    example = (torch.randn(4, 2, 4), torch.ones(4, dtype=torch.int64))
    joint = _export_forward_backward(torch.export.export(request.param(), example, strict=True))
    edge = to_edge(joint, compile_config=EdgeCompileConfig(_check_ir_validity=False))
    program = tmp_path / "program.pte"
    program.write_bytes(edge.to_executorch().buffer)
    return program, request.param.needs


def test_a_program_that_needs_one(needy: tuple[Path, str], lean: Runner, run: Runner, tmp_path: Path) -> None:
    program, operator = needy
    failed = lean("info", program)
    assert (failed.returncode, failed.stdout) == (3, "")
    (sentence,) = failed.stderr.splitlines()
    assert sentence.startswith("edgetrain-runner: the program ")
    assert operator in sentence
    assert MISSING in sentence
    assert run("info", program).events("program")[0]["stock_kernels"] == [operator]
    data = tmp_path / "batches.ptd"
    write_tensors(data, {"inputs": torch.randn(8, 2, 4), "targets": torch.arange(8) % 3})
    command = ["bench", program, "--data", data, "--batch-size", 4, "--profile", tmp_path / "profile.etdp"]
    done = run(*command, input="2\n")
    assert done.code == 0
    (line,) = [line.split() for line in done.said if line.startswith(operator.removeprefix("aten::"))]
    assert line[1:3] == ["executorch", "2"]
