"""Checkpoints in several files: an index in JSON says which tensor lies in which."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ..errors import InputError

_MOST_PARTS = 10_000
# What `save_pretrained` of Hugging Face's libraries writes.
_SETTINGS = "config.json"
_PRETRAINED = ("model.safetensors", "pytorch_model.bin")


def weights_in(folder: Path) -> Path | None:
    """The weights of a folder that holds one model: what `save_pretrained` wrote, or an index of parts; None
    for other folders."""
    return pretrained_in(folder) or index_in(folder)


def pretrained_in(folder: Path) -> Path | None:
    """The weights in a folder that `save_pretrained` wrote, beside which lie settings and states of training;
    None for other folders."""
    if not (folder / _SETTINGS).is_file():
        return None
    whole = (folder / name for name in _PRETRAINED)
    return next((path for path in whole if path.is_file()), None) or index_in(folder)


def architecture_named(folder: Path) -> str | None:
    """The class that a folder's configuration names first."""
    try:
        names = json.loads((folder / _SETTINGS).read_text()).get("architectures")
    except (ValueError, AttributeError, RecursionError, OSError):
        return None
    return str(names[0]) if isinstance(names, list) and names and str(names[0]).isidentifier() else None


def index_in(folder: Path) -> Path | None:
    """The only index in a folder, or the one of safetensors if there is one of `.bin` as well."""
    found = sorted(folder.glob("*.safetensors.index.json")) or sorted(folder.glob("*.bin.index.json"))
    return found[0] if len(found) == 1 else None


def weight_map(index: Path) -> Mapping[str, str]:
    """The file of each tensor, by its name; files lie beside the index.

    Raises:
        InputError: it is no index, or names files elsewhere.
    """
    try:
        found = json.loads(index.read_text())["weight_map"]
        usable = all(isinstance(part, str) and _lies_beside(part) for part in found.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise InputError(f"{index} is no index of a checkpoint in several files, or a damaged one") from error
    if not found or not usable or len(set(found.values())) > _MOST_PARTS:
        raise InputError(f"{index} must name files that lie beside it, at most {_MOST_PARTS}")
    return dict(found)


def _lies_beside(part: str) -> bool:
    """Whether it is a file's name alone; another index would lead around in circles."""
    return part not in ("", "..") and Path(part).name == part and not part.endswith(".json")


def parts_of(index: Path) -> list[Path]:
    """The files an index names, each once.

    Raises:
        InputError: one is missing, or the index is damaged.
    """
    parts = [index.with_name(name) for name in dict.fromkeys(weight_map(index).values())]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(f"{index} needs {missing[0]}{more}, which is not beside it; download all parts")
    return parts
