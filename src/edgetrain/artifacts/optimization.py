"""NAME.optimize.json: what each step of an optimization did, and what the model was worth after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import InputError
from .atomic import write_text

SCHEMA_VERSION: Literal[1] = 1


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="null")


class Measured(_Frozen):
    """A model's figures after a step."""

    step: str = Field(description="for people, as in 'surgery (lite)'")
    figures: dict[str, float | None] = Field(
        description="the task's metrics on the test split; empty where no data is named"
    )
    parameters: int = Field(description="numbers in all parameters, zeros among them")
    zeros: int = Field(description="how many are zero in layers that keep their zeros")
    multiply_adds: int = Field(description="of one sample, in matrix products and convolutions")
    program_bytes: int = Field(description="of the program for inference on XNNPACK")
    latency_ms: float = Field(description="of one sample in that program, on one thread; a median")


class OptimizationReport(_Frozen):
    """The whole report."""

    schema_version: Literal[1] = SCHEMA_VERSION
    steps: list[Measured] = Field(description="the model as it came, then after each step")
    details: dict[str, Any] = Field(description="by step, what was replaced, pruned, or lost to rounding")
    config: dict[str, Any] = Field(description="resolved configuration")


def save_report(path: Path, report: OptimizationReport) -> None:
    """Writes the report atomically."""
    write_text(path, report.model_dump_json(indent=2) + "\n")


def load_report(path: Path) -> OptimizationReport:
    """Reads a report.

    Raises:
        InputError: damaged, or of another schema.
    """
    try:
        return OptimizationReport.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(
            f"{path} is no report that this edgetrain reads, or a damaged one; run 'edgetrain optimize' again"
        ) from error
