"""What was done with each file, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..errors import EdgetrainError


@dataclass(frozen=True)
class Comparison:
    """How far results are from the source's.

    Attributes:
        samples: how many were compared.
        max_error: largest difference of a number.
        relative_error: the same in units of the source's largest number.
        sqnr_db: signal to quantization noise; infinite where both are equal.
        top1: share of samples with the same class, where the model gives one score per class.
        sqnr_by_output: signal to quantization noise [dB] of each output, in their order.
    """

    samples: int
    max_error: float
    relative_error: float
    sqnr_db: float
    top1: float | None
    sqnr_by_output: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class FileReport:
    """One converted file.

    Attributes:
        format: what the source is.
        target: what was made of it, as in "pte (xnnpack, int8)".
        outputs: files written, the main one first.
        inputs: what the model takes, as `--input-shape` says it.
        returned: names of what it returns.
        batch: largest batch of the result, its only one where `fixed_batch`.
        bytes_before, bytes_after: sizes of the source and of everything written.
        load_ms_before, load_ms_after: from file to a model that can run.
        latency_ms_before, latency_ms_after: of one batch of one sample (or of the only batch size).
        delegated: operators that the backend runs, and all of them; None without a backend.
        gradient_error: `--to train`: largest relative error of a gradient.
        notes: what the user should know.
    """

    source: Path
    format: str
    target: str
    outputs: list[Path]
    inputs: list[str]
    returned: list[str]
    batch: int
    fixed_batch: bool
    bytes_before: int
    bytes_after: int
    load_ms_before: float
    load_ms_after: float | None
    latency_ms_before: float
    latency_ms_after: float | None
    comparison: Comparison
    delegated: tuple[int, int] | None = None
    gradient_error: float | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Failure:
    """A file that could not be converted, and why."""

    source: Path
    error: EdgetrainError


@dataclass(frozen=True)
class ConvertResult:
    """All files, in the order they were given."""

    reports: list[FileReport]
    failures: list[Failure]


def ignored_step(step: str) -> None:
    """Where nobody wants to know what a conversion is at."""
