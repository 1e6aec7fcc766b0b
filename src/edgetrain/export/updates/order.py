"""Layers and blocks of a model in the order a forward pass uses them.

A layer is a module that owns parameters. A block is an item of the model's outermost lists (`nn.Sequential`,
`nn.ModuleList`), or a module beside them that has no list inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ...models.calling import call_model
from ...models.names import layer_of
from ...upstream.values import leaves


def layers_in_order(model: nn.Module, inputs: Mapping[str, Tensor]) -> list[str]:
    """Names of the layers, by the first use of one of their parameters; those that aren't used are left out.

    Args:
        inputs: of an example batch, by name.
    """
    return list(dict.fromkeys(layer_of(name) for name in _used(model, inputs)))


def blocks_in_order(model: nn.Module, inputs: Mapping[str, Tensor]) -> list[str]:
    """Names of the blocks, likewise; parameters that the model itself owns are in none."""
    blocks = list(_blocks(model, ""))
    found = (block for name in _used(model, inputs) for block in blocks if name.startswith(f"{block}."))
    return list(dict.fromkeys(found))


def _blocks(module: nn.Module, name: str) -> Iterator[str]:
    for child_name, child in module.named_children():
        path = f"{name}.{child_name}" if name else child_name
        if isinstance(module, _LISTS) or not any(isinstance(m, _LISTS) for m in child.modules()):
            yield path
        else:
            yield from _blocks(child, path)


_LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def _used(model: nn.Module, inputs: Mapping[str, Tensor]) -> list[str]:
    """Names of the parameters in the order of their first use; leaves the model in evaluation mode."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    model.eval()
    with torch.no_grad(), _Uses(names) as uses:
        call_model(model, inputs)
    return list(uses.seen)


class _Uses(TorchFunctionMode):
    """Notes which of some tensors the functions of PyTorch are called with."""

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self.names = names
        self.seen: dict[str, None] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        for value in leaves((args, kwargs or {})):
            if id(value) in self.names:
                self.seen.setdefault(self.names[id(value)])
        return func(*args, **(kwargs or {}))
