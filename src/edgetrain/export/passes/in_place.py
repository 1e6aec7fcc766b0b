"""Elementwise results in the memory of an argument nobody needs any more."""

from __future__ import annotations

from typing import Any

from torch.export import ExportedProgram
from torch.fx import Node

from ...upstream.edge import edge_operators
from ...upstream.node_keys import IN_PLACE_OF
from .onto import target_of
from .rewriting import same_shape

edge = edge_operators().aten
_VIEWS = (edge.view_copy.default,)
#: Element i of the result depends on element i of the argument at this place (and on other tensors), or, for
#: scatter_add, the result starts as a copy of it. ExecuTorch's kernels and ours allow the two to be one.
PLACES: dict[Any, tuple[int, ...]] = {
    edge.relu.default: (0,),
    edge.hardtanh.default: (0,),
    edge.exp.default: (0,),
    edge.neg.default: (0,),
    edge.masked_fill.Scalar: (0,),
    edge.where.self: (2, 1),
    edge.add.Tensor: (0, 1),
    edge.sub.Tensor: (0, 1),
    edge.mul.Tensor: (0, 1),
    edge.mul.Scalar: (0,),
    edge.div.Tensor: (0, 1),
    edge.div.Scalar: (0,),
    edge.scatter_add.default: (0,),
    edge.sqrt.default: (0,),
    edge.add.Scalar: (0,),
}


def in_place(program: ExportedProgram) -> int:
    """Has memory planning put results of elementwise operators where an argument was; returns how many.

    The graph is in edge dialect.

    This is about memory that is read and written once, and so about speed as much as about the arena's size.
    Arguments that are inputs, weights (also with new contents) or constants, views, or needed later
    (through a view, too) stay whole.
    """
    nodes = list(program.graph.nodes)
    order = {node: i for i, node in enumerate(nodes)}
    last_use: dict[Node, int] = {}
    for node in nodes:
        for used in node.all_input_nodes:
            last_use[_root(used)] = order[node]
    count = 0
    for node in nodes:
        if target_of(node) is not None:
            continue
        for place in PLACES.get(node.target, ()):
            given = node.args[place]
            if isinstance(given, Node) and _can_hold(given, node) and last_use[given] == order[node]:
                node.meta[IN_PLACE_OF] = place
                count += 1
                break
    return count


def _root(node: Any) -> Node:
    while node.op == "call_function" and node.target in _VIEWS:
        node = node.args[0]
    assert isinstance(node, Node)
    return node


def _can_hold(given: Node, result: Node) -> bool:
    if given.op != "call_function" or given.target in _VIEWS or target_of(given) is not None:
        return False
    return given.meta["val"].dtype == result.meta["val"].dtype and same_shape(given, result)
