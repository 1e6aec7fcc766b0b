"""What every way to fine-tune is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..artifacts.history import History, save_history
from ..artifacts.program import Program, load_program
from ..config.stages import FinetuneCommand
from ..data import Dataset
from ..reporting import Reporter
from .outputs import history_path


@dataclass(frozen=True)
class Job:
    """A run to be made.

    Attributes:
        output: where the tuned weights go.
        resume: go on from the state saved beside `output`.
        model: the `package.module:factory` the caller trusts, where torch has to build one.
        history: of the run; filled, and saved, as it goes on.
    """

    config: FinetuneCommand
    program: Program
    dataset: Dataset
    output: Path
    resume: bool
    model: str | None
    history: History
    reporter: Reporter

    def save_history(self) -> None:
        """Writes the history beside the output."""
        save_history(history_path(self.output), self.history)

    def load_tuned(self) -> Program:
        """The program with the weights the run has written."""
        if self.program.weights is None:
            return load_program(self.output)
        return load_program(self.program.path, self.output)
