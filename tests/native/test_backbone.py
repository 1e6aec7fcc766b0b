"""The runner on programs whose frozen layers run on XNNPACK."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.specs import INPUTS, TARGETS
from edgetrain.artifacts.tensors import read_tensors
from edgetrain.config.stages import ExportCommand
from edgetrain.export import export
from edgetrain.runtimes import open_session
from edgetrain.runtimes.parts import evaluate_in_parts, predict_in_parts

SETTINGS: dict[str, dict[str, Any]] = {
    "float32": {"backbone": "xnnpack"},
    "int8": {"backbone": "xnnpack-int8"},
    "in parts": {"backbone": "xnnpack", "micro_batch": 5},
}


@pytest.fixture(scope="session")
def export_with(
    tmp_path_factory: pytest.TempPathFactory, digits_program: Any, packed: Any
) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp("backbone")
            settings = {"trainable": ["classifier.*"], "max_batch_size": 20, **SETTINGS[name]}
            if name == "int8":
                settings["calibration"] = packed.train
            config = ExportCommand.model_validate({"export": settings})
            made[name] = export(config, digits_program.checkpoint, folder / "model").program
        return made[name]

    return make


@pytest.mark.parametrize("name", list(SETTINGS))
def test_it_computes_what_python_does(
    run: Callable[..., Any], export_with: Callable[[str], Path], packed: Any, name: str
) -> None:
    program = load_program(export_with(name))
    session = open_session("executorch", program)
    stored = read_tensors(packed.test).tensors()
    prepared = program.manifest.preprocessing[INPUTS].apply(stored[INPUTS][:20])
    inputs, targets = {INPUTS: prepared}, {TARGETS: stored[TARGETS][:20].long()}
    found = run("predict", program.path, "--data", packed.test)
    expected = predict_in_parts(session, inputs)["output"]
    logits = torch.tensor([line["outputs"] for line in found.events("prediction")[:20]])
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert evaluate_in_parts(session, inputs, targets).loss > 0


def train_losses(done: Any) -> list[float]:
    assert done.code == 0, done.error
    return [line["train_loss"] for line in done.events("epoch") if line["train_loss"] is not None]


@pytest.mark.parametrize("name", list(SETTINGS))
def test_both_ways_to_train(
    run: Callable[..., Any], export_with: Callable[[str], Path], packed: Any, tmp_path: Path, name: str
) -> None:
    flags = ("--data", packed.train, "--epochs", 2, "--batch-size", 20, "--validation", packed.test)
    inside = run("train", export_with(name), *flags, "-o", tmp_path / "inside.ptd")
    outside = run("train", export_with(name), *flags, "--clip-norm", 1e9, "-o", tmp_path / "outside.ptd")
    assert train_losses(outside) == pytest.approx(train_losses(inside), rel=1e-5)
    before, after = train_losses(inside)
    assert after < before


@pytest.mark.parametrize("name", list(SETTINGS))
@pytest.mark.promise("A resumed run is bit for bit the run without interruption")
def test_resumed_runs_are_bitwise_the_same(
    run: Callable[..., Any], export_with: Callable[[str], Path], packed: Any, tmp_path: Path, name: str
) -> None:
    """Features that were kept are made again, in another epoch; whether they are kept doesn't show."""

    def train(name_of_output: str, steps: int, *more: Any) -> list[float]:
        out = tmp_path / f"{name_of_output}.ptd"
        common = ("--data", packed.train, "-o", out, "--batch-size", 20, "--epochs", 9, "--log-steps")
        done = run("train", export_with(name), *common, "--max-steps", steps, *more)
        assert done.code == 0, done.error
        return done.losses

    # An epoch has ten steps.
    whole = train("whole", 25)
    assert train("parts", 13) + train("parts", 25, "--resume") == whole
    assert train("unkept", 25, "--keep-features", 0) == whole
    saved = [(tmp_path / f"{out}.ptd").read_bytes() for out in ("whole", "parts", "unkept")]
    assert saved[0] == saved[1] == saved[2]


def test_only_what_stays_the_same_is_kept(
    run: Callable[..., Any], export_with: Callable[[str], Path], packed: Any, tmp_path: Path
) -> None:
    """With a rate of almost nothing, losses differ where samples do."""
    flags = ("--data", packed.train, "--epochs", 2, "--batch-size", 20, "--lr", 1e-12)
    first, second = train_losses(run("train", export_with("float32"), *flags, "-o", tmp_path / "same.ptd"))
    assert first == pytest.approx(second, rel=1e-6)
    moved = run("train", export_with("float32"), *flags, "--crop-padding", 2, "-o", tmp_path / "moved.ptd")
    first, second = train_losses(moved)
    assert first != pytest.approx(second, rel=1e-4)
