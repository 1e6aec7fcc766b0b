"""What a target is given, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from ...config.stages import ConvertCommand
from ..report import ignored_step
from ..source import Source
from ..specs import ModelInput
from ..verification import Comparison


@dataclass(frozen=True)
class Job:
    """One conversion.

    Attributes:
        origin: the source's file, for messages.
        inputs: what the model takes, without batch, by name and in the order it takes them.
        samples: one tensor [N, ...] for each input.
        stem: where to write, without suffix.
        step: told what is being done.
    """

    config: ConvertCommand
    source: Source
    origin: str
    inputs: dict[str, ModelInput]
    samples: list[Tensor]
    stem: Path
    step: Callable[[str], None] = ignored_step

    def example(self, size: int) -> list[Tensor]:
        """The first samples as a batch, repeated where there are too few."""
        count = len(self.samples[0])
        return [tensor[[i % count for i in range(size)]] for tensor in self.samples]

    def output(self, suffix: str) -> Path:
        """The file with this suffix."""
        return self.stem.with_name(self.stem.name + suffix)


@dataclass(frozen=True)
class Written:
    """The result of a conversion.

    Attributes:
        target: for people, as in "pte (xnnpack, int8)".
        batch: largest batch it takes.
        load_ms: from the file to a model that can run.
        latency_ms: of one batch like the one the source is timed with; None where nothing runs it.
        delegated: operators that a backend runs, and all of them; None without a backend.
    """

    target: str
    outputs: list[Path]
    batch: int
    fixed_batch: bool
    load_ms: float | None
    latency_ms: float | None
    comparison: Comparison
    delegated: tuple[int, int] | None = None
    gradient_error: float | None = None
    notes: list[str] = field(default_factory=list)


def captured_for(batch: int) -> str:
    """What is said of a source with a fixed batch."""
    return f"it was captured for {'single samples' if batch == 1 else f'batches of exactly {batch}'}"
