"""Arguments of calls from and to plain data (`artifacts/transforms.py::Graph` has the forms)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.fx import Node

from ....errors import InputError

# What a call takes is flat; outputs may be nested a little.
_DEEPEST = 8
_LONGEST_TEXT = 1000
# Kinds of values that PyTorch has by name, and these names.
_KINDS = {"dtype": torch.dtype, "layout": torch.layout, "memory_format": torch.memory_format}
_KNOWN = {
    kind: {
        str(value).removeprefix("torch."): value for value in vars(torch).values() if isinstance(value, type_)
    }
    for kind, type_ in _KINDS.items()
}
_NUMBERS = ("inf", "-inf", "nan")
_CPU = "cpu"

Find = Callable[[str], Node]


class NotPlainError(Exception):
    """A graph can't be written down; says what in it."""


def encode(value: Any, reference: Callable[[Node], str]) -> Any:
    """A value of a graph as plain data.

    Args:
        reference: how a node is referred to.
    Raises:
        NotPlainError: it can't be.
    """
    if isinstance(value, Node):
        return reference(value)
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": str(float(value))}
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, list | tuple):
        return [encode(item, reference) for item in value]
    if isinstance(value, slice):
        return {"slice": [encode(item, reference) for item in (value.start, value.stop, value.step)]}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"named": {key: encode(item, reference) for key, item in value.items()}}
    for kind, type_ in _KINDS.items():
        if isinstance(value, type_):
            return {kind: str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": _CPU}
    raise NotPlainError(f"it has a {type(value).__name__} in it")


def decode(value: Any, find: Find, depth: int = 0) -> Any:
    """The value that plain data stands for.

    Args:
        find: the node of a reference.
    Raises:
        InputError: it stands for none.
    """
    if depth > _DEEPEST:
        raise InputError("a graph has a value that is nested too deeply")
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    if isinstance(value, str):
        return find(value)
    if isinstance(value, list | tuple):
        return [decode(item, find, depth + 1) for item in value]
    if isinstance(value, dict) and len(value) == 1:
        return _tagged(*next(iter(value.items())), find, depth)
    raise InputError(f"a graph has a value that stands for nothing ({value!r:.80})")


def _tagged(kind: Any, inner: Any, find: Find, depth: int) -> Any:
    if kind == "number" and isinstance(inner, str) and inner in _NUMBERS:
        return float(inner)
    if kind == "device" and isinstance(inner, str) and inner == _CPU:
        return torch.device(_CPU)
    if kind == "text" and isinstance(inner, str) and len(inner) <= _LONGEST_TEXT:
        return inner
    if kind == "slice" and isinstance(inner, list) and len(inner) == 3:
        return slice(*decode(inner, find, depth + 1))
    if kind == "named" and isinstance(inner, dict) and all(isinstance(key, str) for key in inner):
        return {key: decode(item, find, depth + 1) for key, item in inner.items()}
    if kind in _KNOWN and isinstance(inner, str) and inner in _KNOWN[kind]:
        return _KNOWN[kind][inner]
    raise InputError(f"a graph has a value that stands for nothing ({kind!r:.40})")
