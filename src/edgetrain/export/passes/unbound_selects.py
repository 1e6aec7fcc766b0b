"""x[0], x[1], x[2] → x.unbind(0): all parts of a tensor at once, in a captured graph.

Autograd then joins their gradients, where it would add up three tensors of the whole's size, each with a part
of it other than zero. Attention takes queries, keys and values apart so.
"""

from __future__ import annotations

import operator

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from ...upstream.operators import is_mutable, is_operator, returns_alias
from .rewriting import arguments, call, calls, computed, finish, replace

aten = torch.ops.aten


def unbound_selects(program: ExportedProgram) -> int:
    """Makes selections of all places along a dimension one call each; returns how many calls. Tensors whose
    memory is written stay, since their parts may be taken before and after that."""
    graph = program.graph_module.graph
    written = {_root(node) for node in graph.nodes if node.op == "call_function" and is_mutable(node.target)}
    groups: dict[tuple[Node, int], dict[int, list[Node]]] = {}
    for node in calls(program, aten.select.int):
        base, dim, index = arguments(node)
        shape = base.meta["val"].shape
        size = shape[dim % len(shape)]
        if isinstance(size, int) and isinstance(index, int) and _root(base) not in written:
            groups.setdefault((base, dim % len(shape)), {}).setdefault(index % size, []).append(node)
    count = 0
    for (base, dim), parts in groups.items():
        if len(parts) < 2 or len(parts) < base.meta["val"].shape[dim]:
            continue
        first = next(iter(parts.values()))[0]
        with graph.inserting_before(first):
            whole = computed(graph, aten.unbind.int, (base, dim), first)
            for index, nodes in parts.items():
                part = call(graph, operator.getitem, (whole, index), nodes[0].meta["val"], nodes[0])
                for node in nodes:
                    replace(program, node, part)
        count += 1
    finish(program)
    return count


def _root(node: Node) -> Node:
    """The tensor that a view, or what an operator in place returns, lies in the memory of."""
    while node.op == "call_function" and node.all_input_nodes:
        if node.target is not operator.getitem and not (
            is_operator(node.target) and returns_alias(node.target)
        ):
            break
        node = node.all_input_nodes[0]
    return node
