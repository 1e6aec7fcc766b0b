"""What a folder holds: a model that a library saved there, a checkpoint in several files, or any files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError, as_argument
from .archive import open_archive
from .checkpoint import FORMAT as CHECKPOINT_FORMAT
from .foreign import foreign_format
from .inspect_results import describe_by_name
from .kinds import Kind, kind_of
from .sharded import architecture_named, weights_in

_MOST_FILES = 200
_UNKNOWN = "of no kind edgetrain knows, or damaged"
_OWN: dict[Kind, str] = {
    "checkpoint": "checkpoint of edgetrain",
    "program": "ExecuTorch program",
    "file of weights": "ExecuTorch tensors",
    "manifest": "manifest of a program",
}


def describe_folder(path: Path, describe: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """The weights, where the folder is one that `save_pretrained` wrote or has a checkpoint in several files;
    otherwise what kind each file is of, not those of folders below.

    Args:
        describe: tells kind and content of one file.
    Raises:
        InputError: it can't be read, is empty, or its weights are damaged.
    """
    weights = weights_in(path)
    if weights is not None:
        return _with_weights(path, weights, describe(weights))
    try:
        inside = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror or error}") from error
    if not inside:
        raise InputError(f"{path} is an empty folder")
    more = len(inside[_MOST_FILES:])
    files = {entry.name: _kind(entry) for entry in inside[:_MOST_FILES]}
    return {"kind": "a folder", "files": files, **({"further_files": more} if more else {})}


def is_own_checkpoint(path: Path) -> bool:
    """Whether a file of torch.save has edgetrain's mark; a damaged one counts as ours: its reader says so."""
    try:
        archive = open_archive(path)
        return "data.pkl" not in archive or CHECKPOINT_FORMAT.encode() in archive.read("data.pkl")
    except InputError:
        return True


def _with_weights(path: Path, weights: Path, described: dict[str, Any]) -> dict[str, Any]:
    model = architecture_named(path)
    settings = (path / "config.json").is_file()
    return {
        **described,
        "kind": "a folder of save_pretrained" if settings else "a checkpoint in several files",
        "next": f"edgetrain convert {as_argument(path)}{f' --model transformers:{model}' if model else ''}",
        **({"model": model} if model else {}),
        "weights": f"{weights.name}, {described['kind']}",
    }


def _kind(path: Path) -> str:
    """A file in a few words, by as little of it as that takes."""
    if path.is_dir():
        return "folder"
    try:
        kind = kind_of(path)
        if kind is not None and (kind != "checkpoint" or is_own_checkpoint(path)):
            return _OWN.get(kind, kind)
        known = foreign_format(path)
        if known is not None:
            return known.what
        named = describe_by_name(path)
    except (InputError, OSError):
        return _UNKNOWN
    return _UNKNOWN if named is None else str(named["kind"])
