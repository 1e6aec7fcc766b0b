"""Tensors inside of what a file holds, at any depth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Description = dict[str, Any]


def nested_tensors(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """All tensors of nested data, each once, with where they are."""
    from .unpickling.stand_ins import StandIn

    waiting, seen = [(name, value)], set()
    while waiting:
        name, value = waiting.pop()
        if is_tensor(value):
            yield name, value
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        items: list[tuple[Any, Any]] = []
        if isinstance(value, dict):
            items = list(value.items())
        elif isinstance(value, list | tuple):
            items = list(enumerate(value))
        elif isinstance(value, StandIn):
            items = list(value.named.items()) or [("", value.state), *enumerate(value.args)]
        waiting += [(f"{name}.{key}".strip("."), item) for key, item in reversed(items)]


def is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def tensor_row(name: str, tensor: Any) -> Description:
    """What is told of a tensor."""
    return {
        "name": name or "(the tensor)",
        "shape": list(tensor.shape),
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "bytes": tensor.numel() * tensor.element_size(),
    }
