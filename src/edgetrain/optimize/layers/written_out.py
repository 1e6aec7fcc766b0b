"""Activations that are written out in a forward, as in `x * torch.sigmoid(x)`, found by their values."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.fx.node import map_arg

from ...models.transforms.traced_forward import called
from .activations import activation_by_values

_MOST_NODES = 12
# What is done to each value by itself, and ends an activation.
_ENDS = ("mul", "truediv", "div", "true_divide")
_STEPS = (
    *_ENDS,
    *("add", "sub", "neg", "sigmoid", "tanh", "exp", "erf", "pow", "relu", "relu6", "hardtanh", "clamp"),
    *("softplus", "hardsigmoid", "to", "float"),
)
_LAYERS = (nn.Sigmoid, nn.Tanh, nn.ReLU, nn.ReLU6, nn.Hardsigmoid, nn.Hardtanh, nn.Softplus)


def written_out(module: nn.Module, node: Node) -> tuple[nn.Module, Node, set[Node]] | None:
    """The activation that ends with a node.

    Returns:
        PyTorch's layer for it, the node it is an activation of, and all nodes between them.
    """
    if called(node).rpartition(".")[2] not in _ENDS:
        return None
    for source in _candidates(module, node):
        between = _between(module, source, node)
        if between is None:
            continue
        known = activation_by_values(partial(_value, module, source, node))
        if known is not None:
            return known, source, between
    return None


def _is_step(module: nn.Module, node: Node) -> bool:
    if node.op == "call_module":
        return type(module.get_submodule(str(node.target))) in _LAYERS
    name = called(node)
    return name.startswith(("operator.", "torch.")) and name.rpartition(".")[2] in _STEPS


def _candidates(module: nn.Module, node: Node) -> Iterator[Node]:
    """Nodes that it may be an activation of, nearest first."""
    seen, waiting = {node}, [node]
    while waiting and len(seen) <= _MOST_NODES:
        current = waiting.pop(0)
        if not _is_step(module, current):
            continue
        for needed in current.all_input_nodes:
            if needed not in seen:
                seen.add(needed)
                waiting.append(needed)
                yield needed


def _between(module: nn.Module, source: Node, node: Node) -> set[Node] | None:
    """All steps from one node to another; None where something else is needed, too."""
    between: set[Node] = set()
    waiting = [node]
    while waiting:
        current = waiting.pop()
        if current is source or current in between:
            continue
        if not _is_step(module, current) or not current.all_input_nodes or len(between) > _MOST_NODES:
            return None
        between.add(current)
        waiting += current.all_input_nodes
    return between


def _value(module: nn.Module, source: Node, node: Node, points: Tensor) -> Any:
    if node is source:
        return points
    args, kwargs = map_arg((node.args, node.kwargs), lambda needed: _value(module, source, needed, points))
    if node.op == "call_module":
        return module.get_submodule(str(node.target))(*args, **kwargs)
    if node.op == "call_method":
        return getattr(torch.Tensor, str(node.target))(*args, **kwargs)
    return node.target(*args, **kwargs)  # type: ignore[operator]
