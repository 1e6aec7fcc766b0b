"""Figures of each epoch for the tools that people watch runs with: TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..artifacts.history import EpochRecord
from ..errors import EdgetrainError, UsageError


class EpochLog:
    """Is told of each epoch as it ends. The base class keeps nothing."""

    def write(self, record: EpochRecord) -> None:
        """Takes an epoch; epoch 0 is the state before training."""

    def close(self) -> None:
        """Nothing more will come."""


class TensorBoardLog(EpochLog):
    """Event files in a folder, one scalar for each figure, by epoch.

    Args:
        folder: made if it isn't there.
    Raises:
        UsageError: the package tensorboard is missing.
        EdgetrainError: the folder can't be made.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UsageError(
                "--log tensorboard needs the package tensorboard; install it with pip install "
                "'edgetrain[tensorboard]'"
            ) from error
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EdgetrainError(f"can't make the folder {folder}: {error.strerror or error}") from error
        self._make, self._folder = SummaryWriter, folder
        self._writer: Any = None

    def write(self, record: EpochRecord) -> None:
        if self._writer is None:
            # What an earlier run, or the same before it was interrupted, has from here on, counts no more.
            self._writer = self._make(str(self._folder), purge_step=record.epoch)
        for part in ("train", "val"):
            for name, value in record.figures(part).items():
                self._add(f"{name}/{part}", value, record.epoch)
        self._add("learning_rate", record.learning_rate, record.epoch)
        self._add("time/train_s", record.train_time_s, record.epoch)
        self._add("time/val_s", record.val_time_s, record.epoch)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _add(self, name: str, value: float | None, epoch: int) -> None:
        if value is not None:
            self._writer.add_scalar(name, value, epoch)


@contextmanager
def open_log(target: str | None) -> Iterator[EpochLog]:
    """The log that a configuration names.

    Args:
        target: `tensorboard:DIR`, or None.
    Raises:
        as `TensorBoardLog`.
    """
    log = EpochLog() if target is None else TensorBoardLog(Path(target.partition(":")[2]))
    try:
        yield log
    finally:
        log.close()
