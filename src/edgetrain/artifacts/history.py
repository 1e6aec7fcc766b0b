"""history.json: one schema for training and fine-tuning, whatever the runtime and the task."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import InputError
from .commit import recover
from .contract import Metric
from .sealed import DIGEST, check_seal, write_sealed

SCHEMA_VERSION: Literal[3] = 3
Part = Literal["train", "val"]
_FIGURE = re.compile(r"(train|val)_[a-z][a-z0-9_]*")


class EpochRecord(BaseModel):
    """One epoch. Epoch 0 is the state before training.

    Besides the fields below there is `train_NAME` and `val_NAME` for every other metric of the task, as in
    `val_accuracy`; shares are of 1. Validation figures are null where an epoch was not validated. Times are
    in seconds.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None]

    epoch: int
    train_loss: float | None = None
    val_loss: float | None = None
    train_time_s: float | None = None
    train_time_per_sample_s: float | None = None
    val_time_s: float | None = None
    val_time_per_sample_s: float | None = None
    steps: int = Field(0, description="optimizer steps since the start of the run")
    learning_rate: float | None = None

    @model_validator(mode="after")
    def _only_figures(self) -> EpochRecord:
        wrong = [name for name in self.__pydantic_extra__ or {} if not _FIGURE.fullmatch(name)]
        if wrong:
            raise ValueError(f"{wrong[0]} is no figure of an epoch")
        return self

    def figure(self, part: Part, metric: str) -> float | None:
        """A metric's value; None where there is none."""
        value: float | None = getattr(self, f"{part}_{metric}", None)
        return value

    def figures(self, part: Part) -> dict[str, float | None]:
        """All metrics of a part, by name; the loss first."""
        times = {"time_s", "time_per_sample_s"}
        named = {
            name.removeprefix(f"{part}_"): value
            for name, value in self.model_dump().items()
            if name.startswith(f"{part}_")
        }
        return {name: value for name, value in named.items() if name not in times}

    def with_figures(self, part: Part, values: dict[str, float | None]) -> EpochRecord:
        """The record with metrics of a part set."""
        return self.model_validate(
            {**self.model_dump(), **{f"{part}_{name}": value for name, value in values.items()}}
        )


class History(BaseModel):
    """A whole run."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[3] = SCHEMA_VERSION
    digest: str = Field("", description=DIGEST)
    runtime: str
    device: str
    threads: int
    seed: int
    peak_rss_bytes: int = 0
    best_epoch: int | None = Field(
        None, description="whose weights were kept; null where they are those after the last step"
    )
    metrics: list[Metric] = Field(default_factory=list, description="what the figures of the epochs are")
    config: dict[str, Any] = Field(default_factory=dict)
    source: dict[str, str] = Field(
        default_factory=dict, description="hashes of training and validation data, model and starting weights"
    )
    notes: list[str] = Field(default_factory=list)
    epochs: list[EpochRecord] = Field(default_factory=list)

    @property
    def kept_epoch(self) -> EpochRecord:
        """The epoch whose weights were kept; there has to be one."""
        kept = (record for record in self.epochs if record.epoch == self.best_epoch)
        return next(kept, self.epochs[-1])


def hash_of(plain: Any) -> str:
    """SHA-256 of a value in JSON's types."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def save_history(path: Path, history: History) -> None:
    """Writes history.json atomically."""
    write_sealed(path, history)


def load_history(path: Path) -> History:
    """Reads history.json.

    Raises:
        InputError: missing, damaged or of another schema.
    """
    recover(path)
    try:
        text = path.read_text()
        history = History.model_validate_json(text)
    except OSError as error:
        raise InputError(f"can't read the history {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, ValidationError) as error:
        raise InputError(
            f"{path} is no history that this edgetrain reads, or a damaged one; run what wrote it again"
        ) from error
    check_seal(text, path)
    return history.model_copy(update={"digest": ""})
