"""Every epoch of a training is told to the log, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgetrain.artifacts.history import EpochRecord
from edgetrain.engine.epoch_log import EpochLog
from edgetrain.training import stage, train


def test_epochs_are_logged(
    tmp_path: Path, small: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[EpochRecord] = []

    class Log(EpochLog):
        def write(self, record: EpochRecord) -> None:
            told.append(record)

    @contextmanager
    def open_log(target: str | None) -> Iterator[EpochLog]:
        assert target == "tensorboard:there"
        yield Log()

    monkeypatch.setattr(stage, "open_log", open_log)
    log = "tensorboard:there"
    assert told == train(small(train={"epochs": 2, "log": log}), tmp_path / "m.pth").history.epochs
    result = train(small(train={"epochs": 3, "log": log}), tmp_path / "m.pth", resume=True)
    assert told == result.history.epochs
