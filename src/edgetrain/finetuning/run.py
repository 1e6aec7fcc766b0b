"""What every way to fine-tune is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..artifacts.history import History, save_history
from ..artifacts.program import Program
from ..artifacts.run_state import RunRecord
from ..config.stages import FinetuneCommand
from ..data import Dataset
from ..engine.epoch_log import EpochLog
from ..factories import Trusted
from ..reporting import Reporter
from .outputs import history_path


@dataclass(frozen=True)
class Run:
    """A run to be made.

    Attributes:
        config: resolved: runtime, kernels and batch size are chosen.
        output: where the tuned weights go.
        resume: go on from the state saved beside `output`.
        trusted: whose code the caller lets torch run.
        history: of the run; filled, and saved, as it goes on.
        log: is told of each epoch.
    """

    config: FinetuneCommand
    program: Program
    dataset: Dataset
    output: Path
    resume: bool
    trusted: Trusted
    history: History
    log: EpochLog
    reporter: Reporter

    @property
    def batch_size(self) -> int:
        """Samples per batch."""
        assert self.config.finetune.batch_size is not None
        return self.config.finetune.batch_size

    def take(self, record: RunRecord) -> None:
        """Has the history tell what a run's record knows."""
        self.history.epochs = list(record.epochs)
        self.history.best_epoch = record.best_epoch if self.config.finetune.keep == "best" else None

    def save_history(self) -> None:
        """Writes the history beside the output."""
        save_history(history_path(self.output), self.history)
