"""What is measured, and what every runtime can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ..artifacts.program import Program
from ..artifacts.without_dropout import without_dropout
from ..config.optimizer import OptimizerConfig
from ..factories import Trusted


@dataclass(frozen=True)
class Workload:
    """What every runtime does.

    Attributes:
        batches: file of `save_batches`.
        trusted: whose code the user lets torch run.
    """

    program: Path
    weights: Path | None
    batches: Path
    optimizer: OptimizerConfig
    dropout: bool
    threads: int
    trusted: Trusted

    def program_run(self, program: Program) -> bytes:
        """The .pte that runs: without dropout, unless that is left on."""
        data = program.path.read_bytes()
        return without_dropout(data) if program.manifest.dropout and not self.dropout else data


@dataclass(frozen=True)
class Batches:
    """One batch for every step, all of one size.

    Attributes:
        inputs, targets: by name, [steps, B, ...] each, as the program takes them.
    """

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]

    @property
    def batch_size(self) -> int:
        """Samples per batch."""
        return next(iter(self.inputs.values())).shape[1]

    def batch(self, step: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Inputs and targets of one step."""
        inputs = {name: tensor[step] for name, tensor in self.inputs.items()}
        return inputs, {name: tensor[step] for name, tensor in self.targets.items()}


def save_batches(path: Path, batches: Batches) -> None:
    """Puts them where every runtime's process can read them."""
    torch.save({"inputs": batches.inputs, "targets": batches.targets}, path)


def load_batches(path: Path) -> Batches:
    """Reads what `save_batches` wrote."""
    return Batches(**torch.load(path, weights_only=True))


@dataclass(frozen=True)
class Steps:
    """Seconds and loss of each step."""

    seconds: list[float]
    losses: list[float]


@dataclass(frozen=True)
class Memory:
    """Resident set [bytes] before the program was loaded and at its peak, and the time loading took [ms]."""

    baseline_rss_bytes: int
    peak_rss_bytes: int
    load_ms: float


class Measured(Protocol):
    """A runtime that takes its steps when told to. Batches are taken in order, one per step."""

    def first_step(self) -> tuple[Steps, dict[str, Tensor]]:
        """The first step, with its gradients by parameter name; empty where the program returns none."""

    def run(self, count: int) -> Steps:
        """The next steps, each timed alone: forward, backward and optimizer."""

    def memory(self) -> Memory:
        """What the process needed so far."""

    def close(self) -> None:
        """Ends the process."""
