"""data.json: what a packed data set is, and the hash of its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .. import __version__
from ..errors import InputError
from .commit import recover
from .manifest import FileRecord, file_record
from .sealed import DIGEST, check_seal, write_sealed
from .specs import Preprocessing

SCHEMA_VERSION: Literal[3] = 3
KIND: Literal["edgetrain.dataset"] = "edgetrain.dataset"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StoredTensor(_Record):
    """Shape of one sample's part, without the dimension of the samples, and dtype as it is stored."""

    shape: list[int]
    dtype: Literal["uint8", "float32", "int64"]


class StoredInput(StoredTensor):
    """An input, and what it is usually normalised with."""

    preprocessing: Preprocessing = Preprocessing()


class UsualAugmentation(_Record):
    """What training does to the images; none of it is in the file."""

    flip: bool = False
    crop_padding: int = Field(0, ge=0)


class PackedDataset(_Record):
    """The whole description."""

    schema_version: Literal[3] = SCHEMA_VERSION
    digest: str = Field("", description=DIGEST)
    kind: Literal["edgetrain.dataset"] = KIND
    edgetrain_version: str = __version__
    file: FileRecord
    samples: int = Field(ge=1)
    split: Literal["train", "test"]
    inputs: dict[str, StoredInput] = Field(
        min_length=1, description="tensors of the file, in the order a model takes them"
    )
    targets: dict[str, StoredTensor] = Field(min_length=1, description="the other tensors of the file")
    task: str | None = Field(description="what such targets are for; null where that is not known")
    classes: list[str] | None = Field(description="names by label; null where there are none")
    outputs: int | None = Field(description="how many classes there are, where nothing names them")
    ignored: int | None = Field(description="label of pixels or tokens that count for nothing")
    augmentation: UsualAugmentation
    config: dict[str, Any] = Field(description="the resolved `data` section the samples come from")


def description_path(packed: Path) -> Path:
    """data.ptd → data.json."""
    return packed.with_suffix(".json")


def save_description(path: Path, packed: PackedDataset) -> None:
    """Writes the description atomically."""
    write_sealed(path, packed)


def load_description(path: Path) -> PackedDataset:
    """Reads a description.

    Raises:
        InputError: missing, damaged, or of something else.
    """
    try:
        text = path.read_text()
        described = PackedDataset.model_validate_json(text)
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text; pack the data again, or move it away") from error
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        reason = f"{where}: {problem['msg']}" if where else problem["msg"]
        raise InputError(
            f"{path} is no description of a packed data set ({reason}); pack the data again, or move it away"
        ) from error
    check_seal(text, path)
    return described.model_copy(update={"digest": ""})


def load_description_of(packed: Path) -> PackedDataset | None:
    """The description beside a packed file, if there is one.

    Raises:
        InputError: it is damaged, or describes another file.
    """
    recover(packed)
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
