"""dropout(x) → x * mask, with a mask that is scaled in the graph, and kept for backward as booleans."""

from __future__ import annotations

import operator

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, Node

from .rewriting import call, computed

aten = torch.ops.aten
_SAME_VALUE = {aten.alias.default, aten.detach.default}


def dropout_as_mask(joint: ExportedProgram) -> int:
    """Rewrites every active dropout of a joint graph; returns how many there were.

    Two reasons. ExecuTorch 1.5's `native_dropout` forgets to scale what it keeps by 1/(1-p), while ATen's
    backward does scale: activations are too small in training and gradients belong to another function. And
    p and the scale then stand in two places far from each other, so that dropout can't be turned off.

    Here only the operator's boolean output is used. It is asked to drop out a tensor filled with 1/(1-p);
    what is kept of that is the mask. Setting p to 0 and the filling to 1 in the finished program
    (`artifacts.without_dropout`) turns dropout off, which is how programs with dropout are verified
    and compared.
    """
    graph = joint.graph_module.graph
    forward = [n for n in graph.nodes if n.target is aten.native_dropout.default]
    for node in forward:
        x, p, _ = node.args
        kept = _outputs(node, 0)
        masks = _outputs(node, 1)
        with graph.inserting_before(node):
            scale, keep = _scale_and_mask(graph, x, p, node)
            one = _first(scale)
            mask = call(graph, aten.mul.Tensor, (scale, keep), x.meta["val"], node)
            product = call(graph, aten.mul.Tensor, (x, mask), x.meta["val"], node)
        for output in kept:
            output.replace_all_uses_with(product)
        for backward in [b for b in graph.nodes if b.target is aten.native_dropout_backward.default]:
            if _source(backward.args[1]) in masks:
                grad = backward.args[0]
                with graph.inserting_before(backward):
                    mask = call(graph, aten.mul.Tensor, (keep, one), backward.meta["val"], backward)
                    masked = call(graph, aten.mul.Tensor, (grad, mask), backward.meta["val"], backward)
                backward.replace_all_uses_with(masked)
                graph.erase_node(backward)
        _erase_with_users(graph, node)
    left = [n for n in graph.nodes if n.target is aten.native_dropout_backward.default]
    if left:
        raise RuntimeError(f"no dropout was found for the backward operators {left}")
    joint.graph_module.recompile()
    return len(forward)


def has_dropout(joint: ExportedProgram) -> bool:
    """Whether a joint graph drops out activations."""
    return any(node.target is aten.native_dropout.default for node in joint.graph.nodes)


def _scale_and_mask(graph: Graph, x: Node, p: float, place: Node) -> tuple[Node, Node]:
    """1/(1-p) in x's shape, and whether an element is kept."""
    value = x.meta["val"].detach()
    scale = call(graph, aten.full_like.default, (x, 1.0 / (1.0 - p) if p < 1 else 0.0), value, place)
    pair = (value, value.to(torch.bool))
    dropped = call(graph, aten.native_dropout.default, (scale, p, True), pair, place)
    return scale, call(graph, operator.getitem, (dropped, 1), pair[1], place)


def _first(scale: Node) -> Node:
    """The scale as one element: all that backward needs of it beside the booleans."""
    flat = computed(scale.graph, aten.reshape.default, (scale, [-1]), scale)
    return computed(scale.graph, aten.slice.Tensor, (flat, 0, 0, 1), scale)


def _outputs(node: Node, index: int) -> list[Node]:
    return [u for u in node.users if u.target is operator.getitem and u.args[1] == index]


def _erase_with_users(graph: Graph, node: Node) -> None:
    """Erases a node nothing needs any more; dead-code elimination keeps random operators."""
    for user in list(node.users):
        _erase_with_users(graph, user)
    graph.erase_node(node)


def _source(node: object) -> object:
    """The node an alias stands for."""
    while isinstance(node, Node) and node.target in _SAME_VALUE:
        node = node.args[0]
    return node
