"""JOB.json: all that the native runner, or an app with its library, needs to fine-tune a program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..config.optimizer import OptimizerConfig, ScheduleConfig
from ..config.stages import SHOWN_ONLY, FinetuneConfig
from ..errors import InputError
from .atomic import write_text
from .specs import Preprocessing

SCHEMA_VERSION: Literal[1] = 1
KIND: Literal["edgetrain.job"] = "edgetrain.job"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AugmentationRecord(_Record):
    """What training does to its images.

    Attributes:
        flip: mirror half of the images horizontally.
        crop_padding: move each image by up to this many pixels in both directions.
        images: inputs that are images [C, H, W], moved and mirrored alike; what comes in is 0.
        masks: targets [H, W] that go with them; what comes in is this value.
    """

    flip: bool = False
    crop_padding: int = Field(0, ge=0, le=4096)
    images: list[str] = Field(default_factory=list)
    masks: dict[str, int] = Field(default_factory=dict)


def _require_head(schema: dict[str, Any]) -> None:
    """Whoever writes a job says what it is."""
    schema["required"] = ["schema_version", "kind", *schema["required"]]


class Job(_Record):
    """The whole job. Paths are relative to the folder of the job's file.

    Attributes:
        weights: a .ptd to start from; None: the one the program was exported with.
        data, validation: packed samples; several files of one layout follow each other.
        output: where the tuned weights go.
        history: a history without epochs, which is filled in and written beside `output`; None: none is.
        resume: go on from the state beside `output`.
        preprocessing: of inputs by name, for programs without a manifest.
        log_steps: report each step.
    """

    model_config = ConfigDict(json_schema_extra=_require_head)

    schema_version: Literal[1] = SCHEMA_VERSION
    kind: Literal["edgetrain.job"] = KIND
    program: Path
    weights: Path | None = None
    data: list[Path] = Field(min_length=1)
    validation: list[Path] = Field(default_factory=list)
    output: Path
    history: Path | None = None
    resume: bool = False
    preprocessing: dict[str, Preprocessing] = Field(default_factory=dict)
    augmentation: AugmentationRecord = AugmentationRecord()
    log_steps: bool = False
    finetune: FinetuneConfig = FinetuneConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()


def save_job(path: Path, job: Job) -> None:
    """Writes a job atomically. Settings of `finetune` that are at their defaults are left out: the runner has
    the same. (Those of an optimizer it takes from the program.)"""
    document = job.model_dump(mode="json")
    document["finetune"] = job.finetune.model_dump(
        mode="json", exclude_defaults=True, exclude=set(SHOWN_ONLY)
    )
    write_text(path, json.dumps(document, indent=2) + "\n")


def load_job(path: Path) -> Job:
    """Reads a job.

    Raises:
        InputError: missing, damaged, or of something else.
    """
    try:
        return Job.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror or error}") from error
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise InputError(f"{path} is no job of this edgetrain ({where}: {problem['msg']})") from error
