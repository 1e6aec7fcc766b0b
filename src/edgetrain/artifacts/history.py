"""history.json: one schema for training and fine-tuning, whatever the runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import InputError
from .atomic import write_text

SCHEMA_VERSION: Literal[1] = 1


class EpochRecord(BaseModel):
    """One epoch. Losses are means over samples, accuracies shares of 1 (null for regression), times seconds.
    Validation figures are null where an epoch was not validated; epoch 0 is the state before training."""

    model_config = ConfigDict(extra="forbid")

    epoch: int
    train_loss: float | None = None
    train_accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    train_time_s: float | None = None
    train_time_per_sample_s: float | None = None
    val_time_s: float | None = None
    val_time_per_sample_s: float | None = None
    steps: int = Field(0, description="optimizer steps since the start of the run")
    learning_rate: float | None = None


class History(BaseModel):
    """A whole run."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = SCHEMA_VERSION
    runtime: str
    device: str
    threads: int
    seed: int
    peak_rss_bytes: int = 0
    config: dict[str, Any] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    epochs: list[EpochRecord] = Field(default_factory=list)


def save_history(path: Path, history: History) -> None:
    """Writes history.json atomically."""
    write_text(path, history.model_dump_json(indent=2) + "\n")


def load_history(path: Path) -> History:
    """Reads history.json.

    Raises:
        InputError: missing, damaged or of another schema.
    """
    try:
        return History.model_validate_json(path.read_text())
    except OSError as error:
        raise InputError(f"can't read the history {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, ValidationError) as error:
        raise InputError(
            f"{path} is no history that this edgetrain reads, or a damaged one; run what wrote it again"
        ) from error
