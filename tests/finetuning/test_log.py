"""Every epoch is told to the log, in every runtime and also when a run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgetrain.artifacts.history import EpochRecord
from edgetrain.config.stages import FinetuneCommand
from edgetrain.engine.epoch_log import EpochLog
from edgetrain.finetuning import stage
from edgetrain.finetuning.stage import finetune_here
from edgetrain.runner import find_runner


@pytest.mark.parametrize("runtime", ["native", "executorch", "torch"])
def test_epochs_are_logged(
    digits_program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    if runtime == "native" and find_runner() is None:
        pytest.skip("needs the native runner")
    told: list[EpochRecord] = []

    class Log(EpochLog):
        def write(self, record: EpochRecord) -> None:
            told.append(record)

    @contextmanager
    def open_log(target: str | None) -> Iterator[EpochLog]:
        assert target == "tensorboard:there"
        yield Log()

    monkeypatch.setattr(stage, "open_log", open_log)

    def run(epochs: int, resume: bool) -> list[EpochRecord]:
        settings = {"runtime": runtime, "epochs": epochs, "threads": 1, "log": "tensorboard:there"}
        data = {"name": "digits", "images_per_class": 5, "test_images_per_class": 2}
        config = FinetuneCommand.model_validate({"data": data, "finetune": settings})
        output = tmp_path / "t.ptd"
        return finetune_here(config, digits_program.program, output, resume=resume).history.epochs

    assert told == run(2, resume=False)
    assert told == run(3, resume=True)
    assert [record.epoch for record in told] == [0, 1, 2, 3]
