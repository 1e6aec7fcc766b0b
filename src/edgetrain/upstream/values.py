"""Nested values, and tensors that are more than numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch.fx import Graph, Node


def leaves(value: Any) -> list[Any]:
    """What lists, tuples and dictionaries hold at any depth: `torch.utils._pytree.tree_leaves`."""
    from torch.utils import _pytree

    return _pytree.tree_leaves(value)


def flattened(value: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The leaves of a value, and what builds such a value of others: `torch.utils._pytree.tree_flatten`."""
    from torch.utils import _pytree

    found, spec = _pytree.tree_flatten(value)
    return found, lambda others: _pytree.tree_unflatten(others, spec)


def result_shapes(node: Any) -> list[tuple[int, ...]]:
    """Of the results that the forward of an operation of a backward graph had."""
    return [tuple(result.shape) for result in node._input_metadata]


def negative_view(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor's numbers with the other sign, in its memory: `torch._neg_view`."""
    import torch

    return torch._neg_view(tensor)


def output_structure(graph: Graph, output: Node) -> Any:
    """What a graph returns, nested as its caller gets it: `pytree_info.out_spec` of the `_codegen` of graphs
    that `torch.export` made, whose output node has it flat."""
    from torch.utils import _pytree

    info = getattr(graph._codegen, "pytree_info", None)
    if info is None or info.out_spec is None:
        return output.args[0]
    flat: Any = output.args[0]
    return _pytree.tree_unflatten(list(flat), info.out_spec)
