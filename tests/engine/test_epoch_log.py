"""Figures of epochs for TensorBoard."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgetrain.artifacts.history import EpochRecord
from edgetrain.config.stages import FinetuneCommand, TrainCommand
from edgetrain.engine.epoch_log import open_log
from edgetrain.errors import EdgetrainError, UsageError


def epoch(number: int, loss: float | None) -> EpochRecord:
    record = EpochRecord(epoch=number, train_loss=loss, val_loss=0.25, learning_rate=0.1)
    return record.with_figures("val", {"accuracy": 0.5 + number / 8})


def test_scalars(tmp_path: Path) -> None:
    """A run that is resumed writes what comes later again, and once it counts."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with open_log(f"tensorboard:{tmp_path}/logs") as log:
        for record in (epoch(0, None), epoch(1, 1.0), epoch(2, 9.0)):
            log.write(record)
    with open_log(f"tensorboard:{tmp_path}/logs") as log:
        log.write(epoch(2, 0.5))
        log.write(epoch(3, 0.25))
    found = EventAccumulator(str(tmp_path / "logs")).Reload()
    scalars = {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
    assert scalars == {
        "loss/train": [(1, 1.0), (2, 0.5), (3, 0.25)],
        "loss/val": [(i, 0.25) for i in range(4)],
        "accuracy/val": [(i, 0.5 + i / 8) for i in range(4)],
        "learning_rate": [(i, pytest.approx(0.1)) for i in range(4)],
    }


def test_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_log(None) as log:
        log.write(epoch(0, None))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with (
        pytest.raises(UsageError, match=r"pip install 'edgetrain\[tensorboard\]'"),
        open_log("tensorboard:x"),
    ):
        pass


def test_a_folder_that_cant_be_made(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(EdgetrainError, match="can't make the folder"),
        open_log(f"tensorboard:{tmp_path}/file/a"),
    ):
        pass


@pytest.mark.parametrize("target", ["runs", "tensorboard", "tensorboard:", "wandb:x"])
def test_other_targets_are_refused(target: str) -> None:
    for command, section in ((TrainCommand, "train"), (FinetuneCommand, "finetune")):
        with pytest.raises(ValueError, match="must be tensorboard:DIR"):
            command.model_validate({section: {"log": target}})
