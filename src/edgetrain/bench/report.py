"""bench.json."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..artifacts.atomic import write_text
from .profile import Profile

SCHEMA_VERSION = 1


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StepTimes(_Record):
    """Milliseconds of one training step: forward, backward, optimizer."""

    median: float
    p95: float
    min: float


class Measurement(_Record):
    """One runtime at one batch size and number of threads."""

    runtime: str
    kernels: str | None = Field(description="fast: edgetrain's; stock: ExecuTorch's; null for torch")
    update: Literal["in graph", "outside"] = Field(
        description="whether the program updates its weights, or an optimizer outside by its gradients"
    )
    threads: int
    batch_size: int
    step_ms: StepTimes
    samples_per_s: float
    load_ms: float = Field(description="from the files to a program (or model) that can run")
    peak_rss_bytes: int = Field(description="largest resident set of the process that ran it")
    baseline_rss_bytes: int = Field(description="resident set of that process before it loaded the program")
    arena_bytes: int | None = Field(
        description="planned memory of what makes a step; null where there is no plan"
    )
    program_bytes: int | None = Field(description="program and weights on disk; null for torch")
    losses: list[float] = Field(description="of the measured steps")
    max_loss_rel_error: float | None = Field(description="against torch, over all steps; null with dropout")
    max_gradient_rel_error: float | None = Field(
        description="against torch in float64, over all gradients of step 1, relative to the size of what "
        "each is made of; torch has its own; null with dropout, and where the program returns none"
    )
    ratio_to_torch: float | None = Field(description="median step time over torch's, below 1 is faster")
    profile: Profile | None = Field(None, description="with --profile: the operators of a step")


class BenchReport(_Record):
    """The whole report."""

    schema_version: int = SCHEMA_VERSION
    command_line: str | None = Field(None, description="that made it")
    measured_at: datetime | None = Field(None, description="when it was done, in UTC")
    machine: dict[str, Any]
    workload: dict[str, Any]
    results: list[Measurement]


def save_report(path: Path, report: BenchReport) -> None:
    """Writes bench.json atomically."""
    write_text(path, report.model_dump_json(indent=2) + "\n")
