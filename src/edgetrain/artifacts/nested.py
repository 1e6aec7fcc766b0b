"""Tensors inside of what a file holds, at any depth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Description = dict[str, Any]


_OF_MODULES = ("_parameters", "_buffers", "_modules")


def nested_tensors(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """All tensors of nested data, each once, with where they are; those of a module by the names that its
    state_dict would give them."""
    # The third: whether a tensor that was there before is passed over, as layers keep lists of their weights.
    waiting, seen = [(name, value, False)], set()
    while waiting:
        name, value, again = waiting.pop()
        if is_tensor(value):
            if not again or id(value) not in seen:
                yield name, value
            seen.add(id(value))
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        items = [(key, item, again or other) for key, item, other in _items(value)]
        waiting += [(f"{name}.{key}".strip("."), item, other) for key, item, other in reversed(items)]


def _items(value: Any) -> list[tuple[Any, Any, bool]]:
    """What a value holds by name, and whether a module holds it beside its parameters, buffers and layers."""
    from .unpickling.stand_ins import StandIn

    if isinstance(value, dict):
        return [(key, item, False) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [(key, item, False) for key, item in enumerate(value)]
    if not isinstance(value, StandIn):
        return []
    if not value.is_module:
        items: list[tuple[Any, Any]] = list(value.named.items())
        return [(key, item, False) for key, item in items or [("", value.state), *enumerate(value.args)]]
    held = [value.attributes[kind] for kind in _OF_MODULES]
    others = [(key, item, True) for key, item in value.named.items() if key not in _OF_MODULES]
    own = [(key, item, False) for each in held if isinstance(each, dict) for key, item in each.items()]
    return own + others


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
