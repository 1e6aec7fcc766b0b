"""The benchmarks run, on little work: what they print is in their form, not fast or slow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.tensors import write_tensors

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(scope="module")
def stepped(programs: Path) -> str:
    """What the benchmark of steps prints; its programs are in `programs`."""
    return run("step", "digits_cnn", "--programs", programs, "--steps", 3, "--rounds", 1)


def run(module: str, *arguments: Any) -> str:
    if not (_native_build() / "kernel_calls").is_file():
        pytest.skip("needs the native build (make native)")
    path = f"{ROOT / 'src'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _native_build() -> Path:
    return Path(os.environ.get("EDGETRAIN_NATIVE_BUILD", ROOT / "build" / "native"))


def rows(text: str) -> list[list[str]]:
    """The cells of a Markdown table."""
    lines = [
        line.removeprefix("| ").removesuffix(" |").split(" | ") for line in text.splitlines() if " |" in line
    ]
    assert all(len(line) == len(lines[-1]) for line in lines[1:])
    return lines


def test_peaks() -> None:
    lines = rows(run("peaks", "--threads", 1))
    assert lines[2][:2] == ["baseline", "1"]
    assert all(float(number) > 0.1 for line in lines[2:] for number in line[2:])


def test_kernels(programs: Path, tmp_path: Path) -> None:
    plot = tmp_path / "roofline.svg"
    few = ["--rounds", 1, "--seconds", 0.0005, "--filter", "aten::", "--isa", "baseline"]
    printed = run("kernels", "digits_cnn", "--programs", programs, *few, "--calls", "--plot", plot)
    operators, calls = (rows(part) for part in printed.split("| operator | ")[1:])
    kernels = {line[0]: line[1] for line in operators[2:]}
    for operator in ("convolution", "convolution_backward", "max_pool2d_with_indices", "mm", "relu"):
        assert kernels[f"aten::{operator}.out"] == "edgetrain"
    assert not any(name.startswith("dim_order_ops") for name in kernels)
    total = next(line for line in operators if line[0] == "**all**")
    assert int(total[2]) == sum(int(line[2]) for line in operators[2:-1])
    assert all(float(line[4]) > 0 and float(line[5]) > 0 for line in calls[2:])
    assert "GFLOP/s" in plot.read_text()


def test_operations_are_counted() -> None:
    from benchmarks.kernels.calls import Call, In, Out

    def tensor(*size: int) -> In:
        return In(size, torch.float32)

    settings = ((1, 1), (1, 1), (1, 1), False, (0, 0), 1)
    x, w, y = (2, 3, 8, 8), (5, 3, 3, 3), (2, 5, 8, 8)
    forward = 2 * 2 * 5 * 8 * 8 * 3 * 3 * 3
    call = Call("aten::convolution.out", (tensor(*x), tensor(*w), None, *settings, Out(y)))
    assert call.operations == forward
    for mask, times in (((True, True, True), 2), ((False, True, True), 1)):
        arguments = (tensor(*y), tensor(*x), tensor(*w), (5,), *settings, mask)
        backward = Call("aten::convolution_backward.out", (*arguments, Out(x), Out(w), Out((5,))))
        assert backward.operations == times * forward
    bias, left, right = tensor(7), tensor(4, 6), tensor(6, 7)
    assert Call("aten::addmm.out", (bias, left, right, 1, 1, Out((4, 7)))).operations == 2 * 4 * 6 * 7
    assert Call("aten::relu.out", (left, Out((4, 6)))).operations == 0


def test_step(stepped: str) -> None:
    times, speed_ups = (rows(part) for part in stepped.split("\n\n")[1:])
    assert [line[:2] for line in times[2:]] == [["digits_cnn 1x8x8, batch 4", n] for n in ("1", "2")]
    assert all(float(line[-1]) <= 1e-4 and float(line[4]) > 0 for line in times[2:])
    assert all(float(number) > 0 for line in speed_ups[2:] for number in line[1:])


@pytest.mark.usefixtures("stepped")
def test_turns_and_memory(programs: Path, tmp_path: Path) -> None:
    samples = tmp_path / "samples.ptd"
    write_tensors(samples, {"inputs": torch.randn(8, 1, 8, 8), "targets": torch.arange(8)})
    side = f"{_native_build() / 'edgetrain-runner'},{programs / 'digits_cnn-4.pte'}"
    flags = ["--steps", 2, "--rounds", 2, "--", "--data", samples, "--batch-size", 4]
    first, second = rows(run("turns", f"inside={side}", f"outside={side},--clip-norm,1e9", *flags))[2:]
    assert (first[0], float(first[3]), second[0]) == ("inside", 1, "outside")
    assert all(float(number) > 0 for number in (*first[1:], *second[1:]))
    assert 5 < float(first[4]) < 100
    with pytest.raises(AssertionError, match=r"broken: .*nothing\.pte"):
        run("turns", f"broken={_native_build() / 'edgetrain-runner'},{tmp_path / 'nothing.pte'}", *flags)
    program = programs / "digits_cnn-4.pte"
    result, plot = tmp_path / "tuned.json", tmp_path / "curve.svg"
    result.write_text(json.dumps({"after": {"accuracy": 0.5}}))
    (line,) = rows(run("memory_accuracy", f"digits:{program}:{result}", "--plot", plot))[2:]
    planned = sum(load_program(program).manifest.contract.methods["train"].arena_bytes)
    assert line[:2] == ["digits", "digits_cnn-4"]
    assert float(line[2]) == pytest.approx(planned / 1e6, rel=1e-2)
    assert float(line[3]) == 50
    assert "digits_cnn-4" in plot.read_text()
