"""data.json: what a packed data set is, and the hash of its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .. import __version__
from ..errors import InputError
from .atomic import write_text
from .manifest import FileRecord, file_record
from .specs import Preprocessing, Task

SCHEMA_VERSION: Literal[1] = 1
KIND: Literal["edgetrain.dataset"] = "edgetrain.dataset"
# The tensors of a packed file.
INPUTS, TARGETS = "inputs", "targets"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StoredTensor(_Record):
    """Shape of one sample's part, without the dimension of the samples, and dtype as it is stored."""

    shape: list[int]
    dtype: Literal["uint8", "float32", "int64"]


class UsualAugmentation(_Record):
    """What training does to the images; none of it is in the file."""

    flip: bool = False
    crop_padding: int = Field(0, ge=0)


class PackedDataset(_Record):
    """The whole description."""

    schema_version: Literal[1] = SCHEMA_VERSION
    kind: Literal["edgetrain.dataset"] = KIND
    edgetrain_version: str = __version__
    file: FileRecord
    samples: int = Field(ge=1)
    split: Literal["train", "test"]
    input: StoredTensor
    targets: StoredTensor
    task: Task = Field(description="a loss that suits the targets, and the names of the classes")
    preprocessing: Preprocessing = Field(description="what the stored inputs are usually normalised with")
    augmentation: UsualAugmentation
    config: dict[str, Any] = Field(description="the resolved `data` section the samples come from")


def description_path(packed: Path) -> Path:
    """data.ptd → data.json."""
    return packed.with_suffix(".json")


def save_description(path: Path, packed: PackedDataset) -> None:
    """Writes the description atomically."""
    write_text(path, packed.model_dump_json(indent=2) + "\n")


def load_description(path: Path) -> PackedDataset:
    """Reads a description.

    Raises:
        InputError: missing, damaged, or of something else.
    """
    try:
        return PackedDataset.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror or error}") from error
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        reason = f"{where}: {problem['msg']}" if where else problem["msg"]
        raise InputError(
            f"{path} is no description of a packed data set ({reason}); pack the data again, or move it away"
        ) from error


def load_description_of(packed: Path) -> PackedDataset | None:
    """The description beside a packed file, if there is one.

    Raises:
        InputError: it is damaged, or describes another file.
    """
    path = description_path(packed)
    if not path.is_file():
        return None
    described = load_description(path)
    found = file_record(packed)
    if (found.bytes, found.sha256) != (described.file.bytes, described.file.sha256):
        raise InputError(
            f"{packed} is not the file that {path.name} describes (SHA-256); copy or pack both again"
        )
    return described
