"""What every way to fine-tune is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..artifacts.history import History
from ..artifacts.program import Program
from ..config.stages import FinetuneCommand
from ..data import Dataset
from ..engine.epoch_log import EpochLog
from ..factories import Trusted
from ..reporting import Reporter


@dataclass(frozen=True)
class Run:
    """A run to be made.

    Attributes:
        config: resolved: runtime, kernels and batch size are chosen.
        output: where the tuned weights go.
        resume: go on from the state saved beside `output`.
        trusted: whose code the caller lets torch run.
        history: what is being run, still without epochs.
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
