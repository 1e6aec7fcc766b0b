"""What is measured, and what every runtime can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from ..config.optimizer import OptimizerConfig


@dataclass(frozen=True)
class Workload:
    """What every runtime does.

    Attributes:
        batches: file with `inputs` [steps, B, ...] and `targets` [steps, B, ...], saved by torch.
        model: the `package.module:factory` the user trusts, or None.
    """

    program: Path
    weights: Path | None
    batches: Path
    optimizer: OptimizerConfig
    dropout: bool
    threads: int
    model: str | None


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
        """The first step, with its gradients by parameter name."""

    def run(self, count: int) -> Steps:
        """The next steps, each timed alone: forward, backward and optimizer."""

    def memory(self) -> Memory:
        """What the process needed so far."""

    def close(self) -> None:
        """Ends the process."""
