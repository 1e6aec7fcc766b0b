"""Which of edgetrain's files something is, whatever its name; nothing in it is executed."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Literal

from ..errors import InputError
from .foreign import DAMAGED, EMPTY, EXECUTABLE, HTML, PNG, SAVED, SVG, Format, foreign_format
from .tensor_stream import STATE_KEY
from .tensors import has_entry

Kind = Literal[
    "checkpoint",
    "program",
    "file of weights",
    "manifest",
    "history",
    "bench report",
    "check report",
    "optimization report",
    "description of packed data",
    "state of a fine-tuning run",
    "job",
]
# What a command writes. Not all of it can be told by the file alone.
Written = Literal[
    Kind,
    "packed data set",
    "state of a training run",
    "picture",
    "web page",
    "table of predictions",
    "file of update rules",
    "native runner",
]

_MAGIC: dict[bytes, Kind] = {b"ET12": "program", b"FT01": "file of weights"}
_KEYS: dict[Kind, set[str]] = {
    "manifest": {"pairing"},
    "history": {"epochs"},
    "bench report": {"workload"},
    "check report": {"export_seconds"},
    "optimization report": {"steps", "details"},
    "description of packed data": {"samples"},
    "job": {"log_steps"},
}
# What formats that others write, too, are among ours; None may always be replaced.
_OF_FORMAT: dict[Format, Written | None] = {
    PNG: "picture",
    SVG: "picture",
    HTML: "web page",
    EXECUTABLE: "native runner",
    SAVED: "checkpoint",
    EMPTY: None,
    DAMAGED: None,
}


def kind_of(path: Path) -> Kind | None:
    """The kind of a file by its first bytes, its records or its keys; None where it is of no known kind, or
    too damaged to tell.

    Raises:
        InputError: it is a folder, or can't be read.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file")
    try:
        with path.open("rb") as file:
            head = file.read(8)
        if head[4:] in _MAGIC:
            kind = _MAGIC[head[4:]]
            is_state = kind == "file of weights" and has_entry(path, STATE_KEY)
            return "state of a fine-tuning run" if is_state else kind
        return _json_kind(path) if head.lstrip()[:1] == b"{" else _zip_kind(path)
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror or error}") from error


def kind_to_replace(path: Path) -> Written | Format | None:
    """As `kind_of`, for a file that would be replaced: tells packed samples from weights, by the description
    that lies beside them, and what a run is resumed from from other checkpoints; knows pictures, pages and
    the formats of others.

    Raises:
        InputError: as `kind_of`.
    """
    kind = kind_of(path)
    if kind == "checkpoint" and _is_resumable(path):
        return "state of a training run"
    if kind == "file of weights" and _is_described(path):
        return "packed data set"
    if kind is not None:
        return kind
    found = foreign_format(path)
    return None if found is None else _OF_FORMAT.get(found, found)


def _is_described(path: Path) -> bool:
    beside = path.with_suffix(".json")
    return beside.is_file() and kind_of(beside) == "description of packed data"


def _is_resumable(path: Path) -> bool:
    """A checkpoint that can't be read, or is not edgetrain's, isn't."""
    from .checkpoint import load_checkpoint

    try:
        return load_checkpoint(path).training is not None
    except InputError:
        return False


def _zip_kind(path: Path) -> Kind | None:
    """torch.save writes a zip file with the record NAME/data.pkl."""
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return None
    # TorchScript has both.
    is_saved = any(name.endswith("/data.pkl") for name in names)
    return "checkpoint" if is_saved and not any(name.endswith("/constants.pkl") for name in names) else None


def _json_kind(path: Path) -> Kind | None:
    try:
        keys = json.loads(path.read_text())
    except (ValueError, RecursionError):
        return None
    return next((kind for kind, needed in _KEYS.items() if needed <= keys.keys()), None)
