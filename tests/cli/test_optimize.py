from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgetrain.artifacts.checkpoint import Checkpoint, save_checkpoint
from edgetrain.artifacts.optimization import Measured, OptimizationReport
from edgetrain.artifacts.specs import InputSpec, TaskSpec
from edgetrain.config.model import ModelConfig

Run = Callable[..., Any]


def measured(step: str, accuracy: float, parameters: int) -> Measured:
    return Measured(
        step=step,
        figures={"loss": 0.5, "accuracy": accuracy},
        parameters=parameters,
        zeros=parameters // 2,
        multiply_adds=1_500_000,
        program_bytes=2_345_678,
        latency_ms=0.1234,
    )


@pytest.fixture
def calls(fake_stage: Callable[..., None]) -> list[SimpleNamespace]:
    """A stage that computes nothing; returns the list of its calls."""
    found: list[SimpleNamespace] = []

    def optimize(config: Any, checkpoint: Path, output: Path, **more: Any) -> SimpleNamespace:
        found.append(SimpleNamespace(config=config, checkpoint=checkpoint, output=output, **more))
        report = OptimizationReport(
            steps=[measured("as it was", 0.75, 1000), measured("pruning (2:4)", 0.74, 1000)],
            details={},
            config={},
        )
        path = output.with_name("x.optimize.json")
        return SimpleNamespace(checkpoint=output, program=None, plot=None, report_path=path, report=report)

    fake_stage("optimize", optimize=optimize)
    return found


@pytest.fixture
def checkpoint(folder: Path) -> Path:
    path = folder / "model.pth"
    task = TaskSpec(name="classification", loss="cross_entropy", classes=("a", "b"))
    config = {"data": {"name": "digits", "args": {}}}
    model = ModelConfig(name="xor_mlp")
    inputs = {"inputs": InputSpec(shape=(2,))}
    save_checkpoint(path, Checkpoint(model=model, state={}, inputs=inputs, task=task, config=config))
    return path


def test_flags_become_the_recipe(run: Run, calls: list[SimpleNamespace], checkpoint: Path) -> None:
    ran = run("optimize", checkpoint, "--prune", "2:4", "--prune-skip", "head,first", "--prune-epochs", 3)
    assert (ran.code, ran.stderr) == (0, "")
    call = calls[0]
    settings = call.config.optimize
    assert (settings.prune, settings.prune_skip, settings.prune_epochs) == ("2:4", ["head", "first"], 3)
    assert (call.output, call.resume, call.with_data) == (
        checkpoint.with_suffix(".optimized.pth"),
        False,
        True,
    )
    assert call.config.data.name == "digits", "as the checkpoint was trained on"
    lines = ran.stdout.splitlines()
    assert "pruning (2:4)" in ran.stdout
    row = next(line for line in lines if "pruning (2:4)" in line)
    assert row.split()[2:] == ["74.00", "%", "1,000", "50%", "1.50", "M", "2.346", "MB", "0.123", "ms"]


def test_json(run: Run, calls: list[SimpleNamespace], checkpoint: Path) -> None:
    ran = run("optimize", checkpoint, "--surgery", "lite", "-o", "small.pth", "--json")
    document = json.loads(ran.stdout)
    assert (document["command"], document["checkpoint"]) == ("optimize", "small.pth")
    assert [step["figures"]["accuracy"] for step in document["report"]["steps"]] == [0.75, 0.74]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prune", "4:2"], "optimize.prune: must be none, channel, unstructured, or N:M"),
        (["--prune", "channel"], "prune channel needs prune_ratio"),
        (["--prune", "channel", "--prune-ratio", "1.5"], "optimize.prune_ratio: must be less than 1"),
        (["--prune", "2:4", "--prune-ratio", "0.5"], "prune 2:4 takes no prune_ratio"),
        (["--prune", "2:4", "--prune-schedule", "blend"], "prune_schedule blend needs prune_epochs"),
        (["--surgery", "rules"], "surgery rules needs surgery_rules"),
        (["--quantize", "int9"], "optimize.quantize"),
        (["--surgery", "lite", "-o", "model.pt"], "model.pt ends in neither .pth nor .pte"),
    ],
)
def test_mistakes(
    run: Run, calls: list[SimpleNamespace], checkpoint: Path, arguments: list[str], message: str
) -> None:
    ran = run("optimize", checkpoint, *arguments)
    assert ran.code == 2
    assert message in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert not calls


def test_inputs_are_no_outputs(run: Run, calls: list[SimpleNamespace], checkpoint: Path) -> None:
    ran = run("optimize", checkpoint, "--surgery", "lite", "-o", checkpoint)
    assert ran.code == 2
    assert "model.pth" in ran.stderr
    assert not calls
