"""Factors of operators that a caller chooses at each step, such as the learning rate.

Neither PyTorch's tracing nor lowering can carry a number that is not known yet as an operator's `alpha`: they
ask whether it is 1. So a node is given some number in its place, and notes in `meta[SCALARS]` what belongs
there; once nothing traces the graph any more, `put_scalars` puts it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from ...upstream.edge import scalar_operators

SCALARS = "edgetrain.scalars"
# A number, the name of a hyperparameter's placeholder, or (operation, left, right).
Scalar = float | str | tuple[str, Any, Any]
# Not 0 and not 1, which operators know better ways for.
STAND_IN = 2.0


def times(left: Scalar, right: Scalar) -> Scalar:
    """left * right."""
    if isinstance(left, float) and isinstance(right, float):
        return left * right
    if 1.0 in (left, right):
        return left if right == 1.0 else right
    return ("mul", left, right)


def less(left: Scalar, right: Scalar) -> Scalar:
    """left - right."""
    return ("sub", left, right)


def over(left: Scalar, right: Scalar) -> Scalar:
    """left / right."""
    return ("truediv", left, right)


def known(scalar: Scalar) -> float:
    """The number itself, or one that stands for it while the graph is traced."""
    return scalar if isinstance(scalar, float) else STAND_IN


def put_scalars(graph_module: GraphModule) -> int:
    """Replaces the stand-ins of a graph by what they stand for; returns how many there were."""
    graph = graph_module.graph
    placeholders = {str(node.target): node for node in graph.nodes if node.op == "placeholder"}
    marked = [node for node in graph.nodes if node.meta.get(SCALARS)]
    if not marked:
        return 0
    made: dict[Scalar, Any] = {}
    first = next(node for node in graph.nodes if node.op != "placeholder")
    with graph.inserting_before(first):
        for node in marked:
            noted: Mapping[str | int, Scalar] = node.meta[SCALARS]
            for place, scalar in noted.items():
                value = _make(graph, placeholders, made, scalar)
                if isinstance(place, int):
                    node.update_arg(place, value)
                else:
                    node.update_kwarg(place, value)
    graph_module.recompile()
    return len(marked)


def _make(graph: Graph, placeholders: Mapping[str, Node], made: dict[Scalar, Any], scalar: Scalar) -> Any:
    """The node that computes a scalar; a number is itself."""
    if isinstance(scalar, float):
        return scalar
    if scalar not in made:
        if isinstance(scalar, str):
            target: Any = torch.ops.aten._local_scalar_dense.default
            arguments: tuple[Any, ...] = (placeholders[scalar],)
        else:
            operation, *parts = scalar
            target = scalar_operators()[operation]
            arguments = tuple(_make(graph, placeholders, made, part) for part in parts)
        made[scalar] = graph.call_function(target, arguments)
        made[scalar].meta["spec"] = None
    return made[scalar]
