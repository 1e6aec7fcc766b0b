"""As docs/architecture.md promises: a task, a data set, a graph step is one file and a line in a registry."""

from __future__ import annotations

from pathlib import Path

import pytest
from closeness import Closeness
from line import read_line
from products_of_squares import products_of_squares

from edgetrain.config.stages import ExportCommand, FinetuneCommand, TrainCommand
from edgetrain.data.registry import READERS
from edgetrain.export import export, steps
from edgetrain.export.steps import Choice
from edgetrain.finetuning import finetune
from edgetrain.tasks.registry import TASKS
from edgetrain.training import train

MODEL = {"name": "mlp", "args": {"hidden": [8]}}


@pytest.fixture
def additions(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line for each, as in the registries."""
    monkeypatch.setitem(TASKS, Closeness.name, Closeness)
    monkeypatch.setitem(READERS, "line", read_line)
    monkeypatch.setattr(steps, "STEPS", (Choice(products_of_squares), *steps.STEPS))


def test_one_file_each(additions: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"epochs": 30, "batch_size": 8, "threads": 1, "device": "cpu"}
    config = TrainCommand.model_validate({"model": MODEL, "train": settings})
    # The names of a configuration are closed lists, which the two lines would be added to.
    config.data.name = "line"  # type: ignore[assignment]
    trained = train(config, tmp_path / "m.pth")
    assert list(trained.figures) == ["loss", "close"]
    assert trained.figures["close"] == 1

    exported = export(ExportCommand(), trained.checkpoint, tmp_path / "m")
    assert (exported.manifest.task.name, exported.manifest.task.loss) == ("closeness", "square")
    assert exported.verification.gradients < 1e-4
    assert [metric.name for metric in exported.manifest.contract.metrics] == ["loss", "close"]
    operators = exported.manifest.contract.methods["train"].operators
    assert "aten::mul.out" in operators
    assert not [name for name in operators if name.startswith("aten::pow")]

    tuning = FinetuneCommand.model_validate({"finetune": {"runtime": "executorch", "epochs": 1}})
    tuning.data.name = "line"  # type: ignore[assignment]
    tuned = finetune(tuning, exported.program, tmp_path / "tuned.ptd")
    assert tuned.history.epochs[-1].figure("val", "close") == 1
