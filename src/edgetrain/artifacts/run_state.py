"""tuned.state.ptd: what a fine-tuning run is resumed from, in every runtime.

A .ptd like any other, digest included. Its tensors are `weights/NAME` (all that training changes),
`best/NAME` (the same after the best epoch, where that is kept), `optimizer.first/NAME` and
`optimizer.second/NAME` (momentum, or the two moments of Adam; left out before the first step), and
`random/cpu` (of the torch runtime). The rest is the JSON text of `RunRecord`, in the entry
`edgetrain.state`. `native/core` writes and reads the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import InputError
from .commit import recover
from .history import EpochRecord
from .tensor_stream import STATE_KEY
from .tensors import TensorFile, read_tensors, write_tensors

if TYPE_CHECKING:
    import torch

SCHEMA_VERSION: Literal[1] = 1
WEIGHTS, BEST, RANDOM = "weights/", "best/", "random/cpu"
FIRST, SECOND = "optimizer.first/", "optimizer.second/"


class RunRecord(BaseModel):
    """Where a run stands.

    Attributes:
        source: SHA-256 of what it started from: `program`, `weights` ("" where they are inside), `data`.
        config: the sections `finetune`, `optimizer`, `schedule` and, in Python, `data`, resolved.
        total_steps: steps it was planned for when it was saved.
        epoch: finished epochs.
        batch: batches done of the epoch under way.
        step, optimizer_steps: optimizer steps since the start.
        samples: of the epoch under way, so far.
        sums: what its metrics are made of, so far.
        train_time_s: time spent on it.
        epochs: finished and validated ones.
        best_epoch: the best of them; None before the first, and where nobody asks for it.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = SCHEMA_VERSION
    runtime: str
    source: dict[str, str]
    config: dict[str, Any]
    total_steps: int
    epoch: int = 0
    batch: int = 0
    step: int = 0
    optimizer_steps: int = 0
    samples: int = 0
    sums: dict[str, list[float]] = Field(default_factory=dict)
    train_time_s: float = 0.0
    epochs: list[EpochRecord] = Field(default_factory=list)
    best_epoch: int | None = None


@dataclass
class SavedRun:
    """A whole state.

    Attributes:
        weights: all that training changes, by name.
        best: the same after the best epoch, where that is kept and there is one; else empty.
        first, second: the optimizer's buffers by parameter name.
        random: PyTorch's random state, uint8 [N].
    """

    record: RunRecord
    weights: dict[str, torch.Tensor]
    first: dict[str, torch.Tensor]
    second: dict[str, torch.Tensor]
    random: torch.Tensor | None = None
    best: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def kept(self) -> dict[str, torch.Tensor]:
        """The weights that are the run's output."""
        return self.best or self.weights


def save_run(path: Path, run: SavedRun) -> None:
    """Writes the state atomically."""
    tensors = {
        **{WEIGHTS + name: tensor for name, tensor in run.weights.items()},
        **{BEST + name: tensor for name, tensor in run.best.items()},
        **{FIRST + name: tensor for name, tensor in run.first.items()},
        **{SECOND + name: tensor for name, tensor in run.second.items()},
        **({} if run.random is None else {RANDOM: run.random}),
    }
    write_tensors(path, tensors, metadata={STATE_KEY: run.record.model_dump_json().encode()})


def load_run(path: Path) -> SavedRun:
    """Reads a state.

    Raises:
        InputError: missing or damaged.
    """
    recover(path)
    if not path.is_file():
        raise InputError(f"there is nothing to resume: {path} does not exist; fine-tune without --resume")
    try:
        return run_of(read_tensors(path))
    except (InputError, KeyError, ValidationError) as error:
        raise InputError(
            f"{path} is no usable state of a fine-tuning run; start anew without --resume"
        ) from error


def run_of(file: TensorFile) -> SavedRun:
    """The state that a .ptd holds.

    Raises:
        KeyError, ValidationError: it holds none.
    """
    record = RunRecord.model_validate_json(file.metadata[STATE_KEY])

    def named(prefix: str) -> dict[str, torch.Tensor]:
        return {n.removeprefix(prefix): file.tensor(n) for n in file.entries if n.startswith(prefix)}

    random = file.tensor(RANDOM) if RANDOM in file.entries else None
    return SavedRun(record, named(WEIGHTS), named(FIRST), named(SECOND), random, named(BEST))
