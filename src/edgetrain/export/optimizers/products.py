"""Gradients that are one matrix product, and so need never exist."""

from __future__ import annotations

from torch.fx import Node

from ...upstream import edge_operators

edge = edge_operators().aten


def product_of(gradient: Node) -> tuple[Node, Node] | None:
    """a [M, K] and b [K, N] of a gradient a @ b that only its update needs, as that of a linear layer's
    weight is; None for others."""
    if gradient.target is not edge.mm.default or len(gradient.users) > 1:
        return None
    a, b = gradient.args
    assert isinstance(a, Node)
    assert isinstance(b, Node)
    return a, b
