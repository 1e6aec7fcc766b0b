"""Tuned weights that hold only what was trained, or by how much it changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.manifest import load_manifest
from edgetrain.artifacts.tensors import Contents, read_tensors, write_tensors

Runner = Callable[..., Any]


@pytest.fixture
def tune(noisy_program: Any, packed: Any, run: Runner, tmp_path: Path) -> Callable[..., Path]:
    """Fine-tunes a program with batch norm for some steps."""

    def call(name: str, *flags: Any, steps: int = 4) -> Path:
        out = tmp_path / f"{name}.ptd"
        common = ["train", noisy_program.program, "--data", packed.train, "-o", out, "--max-steps", steps]
        done = run(*common, *flags)
        assert done.code == 0, done.error
        return out

    return call


@pytest.mark.parametrize("holds", ["trainable", "delta"])
def test_saved_and_loaded(
    noisy_program: Any, packed: Any, run: Runner, tune: Callable[..., Path], holds: str
) -> None:
    full, part = tune("full"), tune("part", "--save", holds)
    expected, base = read_tensors(full).tensors(), read_tensors(noisy_program.weights)
    file = read_tensors(part)
    manifest = load_manifest(noisy_program.manifest)
    assert manifest.weights is not None
    assert file.contents == Contents(holds=holds, base=manifest.weights.sha256)
    assert file.digest_offset is not None
    assert set(file.entries) == {tensor.name for tensor in manifest.contract.changing}
    for name, tensor in file.tensors().items():
        value = tensor + base.tensor(name) if holds == "delta" else tensor
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-6, msg=name)
    losses = [
        run("evaluate", noisy_program.program, "-w", path, "--data", packed.test).events("result")[0]["loss"]
        for path in (full, part)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


@pytest.mark.parametrize("holds", ["trainable", "delta"])
def test_a_run_goes_on_from_them(
    noisy_program: Any, packed: Any, run: Runner, tune: Callable[..., Path], holds: str, tmp_path: Path
) -> None:
    """Both as the weights to start from, and as the output of a run that is resumed."""
    start = tune("start", "--save", holds)
    again = tune("again", "-w", start, "--save", holds)
    assert read_tensors(again).contents.holds == holds
    whole = tune("whole", "--save", holds, steps=6)
    assert tune("start", "--save", holds, "--resume", steps=6).read_bytes() == whole.read_bytes()


def test_what_is_refused(
    noisy_program: Any,
    digits_program: Any,
    inline_program: Any,
    packed: Any,
    run: Runner,
    tune: Callable[..., Path],
    tmp_path: Path,
) -> None:
    def refused(weights: Path, program: Path = noisy_program.program) -> str:
        done = run("evaluate", program, "-w", weights, "--data", packed.test)
        assert done.code == 3
        return done.error

    part = tune("part", "--save", "trainable")
    file = read_tensors(part)
    tensors = file.tensors()
    other = tmp_path / "other.ptd"
    write_tensors(other, tensors, contents=Contents(holds="trainable", base="0" * 64))
    assert "holds changes of other weights than" in refused(other)
    assert "holds changes of other weights than" in refused(part, digits_program.program)
    name, *_ = tensors
    write_tensors(other, {n: t for n, t in tensors.items() if n != name}, contents=file.contents)
    assert f"{name} is missing" in refused(other)
    write_tensors(other, {**tensors, "more": torch.zeros(1)}, contents=file.contents)
    assert "more is not part of the program" in refused(other)
    write_tensors(other, tensors, metadata={"edgetrain.contents": b'{"holds": "half", "base": null}'})
    assert "does not say what it holds" in refused(other)

    out = ["-o", tmp_path / "out.pte", "--save", "delta"]
    inside = run("train", inline_program.program, "--data", packed.train, *out)
    assert (inside.code, "can be saved in full only" in inside.error) == (2, True)


def test_frozen_weights_of_another_run(
    noisy_program: Any, packed: Any, run: Runner, tune: Callable[..., Path], tmp_path: Path
) -> None:
    """Nothing that is not trained may be lost in weights that hold only what is."""
    manifest = load_manifest(noisy_program.manifest)
    frozen = [t.name for t in manifest.contract.tensors if not t.changes and t.dtype == "float32"]
    if not frozen:
        pytest.skip("all weights of the program are trained")
    tensors = read_tensors(noisy_program.weights).tensors()
    tensors[frozen[0]] = tensors[frozen[0]] + 1
    start = tmp_path / "start.ptd"
    write_tensors(start, tensors)
    flags = ["-w", start, "-o", tmp_path / "out.ptd", "--save", "delta", "--max-steps", 1]
    done = run("train", noisy_program.program, "--data", packed.train, *flags)
    assert (done.code, "can be saved in full only" in done.error) == (2, True)
