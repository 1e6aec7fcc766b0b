"""clone(permute_copy(x)) → permute_copy(x): in edge dialect an operator's result lies in order already."""

from __future__ import annotations

from torch.export import ExportedProgram
from torch.fx import Node

from ...upstream.edge import edge_operators
from .rewriting import calls, finish, replace

_CLONES = (edge_operators().dim_order_ops._clone_dim_order.default, edge_operators().aten.clone.default)


def dropped_clones(program: ExportedProgram) -> int:
    """Removes copies of results that change nothing from an edge-dialect graph; returns how many there were.

    PyTorch's views lie in memory as what they view, so that a reshape of a permutation first clones it. In
    edge dialect the permutation is a copy. Copies of inputs and weights stay: these have names and places.
    """
    count = 0
    for node in calls(program, *_CLONES):
        source = node.args[0]
        if isinstance(source, Node) and source.op == "call_function" and _same_order(node, source):
            count += replace(program, node, source)
    finish(program)
    return count


def _same_order(node: Node, source: Node) -> bool:
    clone, base = node.meta["val"], source.meta["val"]
    return clone.dtype == base.dtype and clone.is_contiguous() and base.is_contiguous()
