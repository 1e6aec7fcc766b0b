"""NAME.json: what a program is, what it was made from, and the hashes of its files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..config.model import ModelConfig
from ..config.update_rules import UpdateRule
from ..errors import InputError
from .contract import Contract, TensorRecord
from .sealed import DIGEST, check_seal, write_sealed
from .specs import InputSpec, Preprocessing, TaskSpec
from .tensors import pairing_hash
from .transforms import Transform

SCHEMA_VERSION: Literal[5] = 5


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FileRecord(_Record):
    """A file beside the manifest."""

    name: str
    bytes: int
    sha256: str


class Verification(_Record):
    """Largest relative errors against eager PyTorch, found in the written files."""

    batch_sizes: list[int] = Field(description="sizes of the batches the program was run on")
    kernels: list[Literal["stock", "fast"]] = Field(description="whose kernels it was run with")
    stock_batch_sizes: list[int] | None = Field(
        default=None,
        description="sizes of those that ExecuTorch's own kernels were run on, where that is not all",
    )
    loss: float
    gradients: float | None = Field(description="null where the program returns none")
    weights_after_steps: float
    predict_after_steps: float
    predictions: float = Field(description="of train and evaluate: by how much wrong ones missed")
    metrics: float = Field(description="of the sums that train and evaluate return")
    worst_gradient: str | None
    tolerance: float
    sensitivity: float | None = Field(
        description="how far eager itself moves by rounding alone, where no batch could be compared finer"
    )
    features_sqnr: float | None = Field(
        default=None,
        description="signal to quantization noise of an int8 backbone's features on its calibration data "
        "[dB]; all else was then compared behind these features",
    )


class Manifest(_Record):
    """The whole manifest."""

    schema_version: Literal[5] = SCHEMA_VERSION
    digest: str = Field("", description=DIGEST)
    edgetrain: str
    torch: str
    executorch: str
    program: FileRecord
    weights: FileRecord | None = Field(description="null where they are inside the program")
    checkpoint: FileRecord | None = Field(
        default=None, description="what it was exported from; null where that was no file of edgetrain's"
    )
    pairing: str = Field(description="SHA-256 of the names, shapes and dtypes of the weights that fit")
    model: ModelConfig
    task: TaskSpec
    inputs: dict[str, InputSpec] = Field(description="by name, in the order the model takes them")
    own_operators: list[str] = Field(
        default_factory=list,
        description="operators, as in edgetrain::lstm.out, that only edgetrain's kernels can run",
    )
    batch_norm: Literal["frozen", "train"]
    dropout: bool = Field(description="whether `train` drops out activations at random")
    contract: Contract
    transforms: list[Transform] = Field(
        default_factory=list, description="what was done to the model's layers before, in this order"
    )
    rules: list[UpdateRule] = Field(
        default_factory=list,
        description="which parameters are trained, as in a rules file: the first that fits counts",
    )
    verification: Verification | None = Field(description="null until the program is verified")
    config: dict[str, Any]

    @property
    def preprocessing(self) -> dict[str, Preprocessing]:
        """Of every input, by name."""
        return {name: spec.preprocessing for name, spec in self.inputs.items()}


def tensors_pairing(tensors: Iterable[TensorRecord]) -> str:
    """The pairing hash of a program's weights."""
    return pairing_hash((t.name, tuple(t.shape), t.dtype) for t in tensors)


def manifest_path(program: Path) -> Path:
    """NAME.pte → NAME.json."""
    return program.with_suffix(".json")


def file_record(path: Path) -> FileRecord:
    """Size and hash of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256") if hasattr(hashlib, "file_digest") else _digest(path)
    return FileRecord(name=path.name, bytes=path.stat().st_size, sha256=digest.hexdigest())


def _digest(path: Path) -> Any:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            hasher.update(chunk)
    return hasher


def save_manifest(path: Path, manifest: Manifest) -> None:
    """Writes the manifest atomically."""
    write_sealed(path, manifest)


def load_manifest(path: Path) -> Manifest:
    """Reads a manifest.

    Raises:
        InputError: missing, damaged, or of another schema.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"can't read the manifest {path}: {getattr(error, 'strerror', None) or error}"
        ) from error
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        if where == "schema_version":
            raise InputError(
                f"{path} is no manifest of this edgetrain (it has the schema {problem['input']!r}, read is "
                f"{SCHEMA_VERSION}); export again"
            ) from error
        raise InputError(
            f"{path} is no manifest of this edgetrain ({where}: {problem['msg']}); export again"
        ) from error
    check_seal(text, path)
    return manifest.model_copy(update={"digest": ""})


def check_file(path: Path, record: FileRecord) -> None:
    """Checks a file against its record.

    Raises:
        InputError: missing, cut short, or changed.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; copy or export it again")
    size = path.stat().st_size
    if size != record.bytes:
        raise InputError(
            f"{path} has {size} bytes, its manifest says {record.bytes}; copy or export it again"
        )
    if file_record(path).sha256 != record.sha256:
        raise InputError(
            f"{path} differs from what its manifest describes (SHA-256); copy or export it again"
        )
