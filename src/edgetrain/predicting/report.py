"""What was predicted."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ..artifacts.atomic import write_text
from ..artifacts.contract import Metric


class PredictReport(BaseModel):
    """Predictions, in the order of the samples, and how good they are.

    Attributes:
        columns, cells: the predictions for people: a table without the samples' names.
    """

    model_config = ConfigDict(extra="forbid")

    model: Path
    weights: Path | None
    source: str = Field(description="where the samples come from")
    task: str
    count: int = 0
    classes: list[str] | None = Field(None, description="names by label")
    metrics: list[Metric] = Field(default_factory=list)
    figures: dict[str, float | None] | None = Field(None, description="null where there are no labels")
    confusion: list[list[int]] | None = Field(
        None, description="rows by label, columns by prediction; null for tasks without classes"
    )
    notes: list[str] = Field(default_factory=list)
    listed: int = 0
    columns: tuple[str, ...] = ()
    cells: list[tuple[str, ...]] = Field(default_factory=list)
    predictions: list[dict[str, Any]] = Field(default_factory=list)


def save_predictions(path: Path, predictions: Sequence[dict[str, Any]]) -> None:
    """Writes a line of CSV for each sample, atomically. What has parts gets a column for each of them, as in
    `top.2.class`."""
    rows = [dict(_flat("", prediction)) for prediction in predictions]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, buffer.getvalue())


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _flat(f"{name}.{key}" if name else key, part)
    elif isinstance(value, list):
        for number, part in enumerate(value, start=1):
            yield from _flat(f"{name}.{number}", part)
    else:
        yield name, value
