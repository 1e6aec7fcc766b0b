"""Gradients that are one matrix product, and so need never exist."""

from __future__ import annotations

from torch.export import ExportedProgram
from torch.fx import Node

from ...upstream.edge import edge_operators

edge = edge_operators().aten


def product_of(program: ExportedProgram, gradient: Node) -> tuple[Node, Node] | None:
    """a [M, K] and b [K, N] of a gradient a @ b that only its update needs, as that of a linear layer's
    weight is; None for others.

    A product of weights is made before any of them changes: two that are each other's factor, as in x (U V),
    would each have to be updated before the other.
    """
    if gradient.target is not edge.mm.default or any(user.op != "output" for user in gradient.users):
        return None
    a, b = gradient.args
    assert isinstance(a, Node)
    assert isinstance(b, Node)
    return None if _is_weight(program, a) or _is_weight(program, b) else (a, b)


def _is_weight(program: ExportedProgram, node: Node) -> bool:
    """Whether a tensor is a weight, or lies in one's memory."""
    while node.op == "call_function" and node.target is edge.view_copy.default:
        node = node.all_input_nodes[0]
    return node.op == "placeholder" and node.name in program.graph_signature.inputs_to_parameters
