"""Masks of gradients in the fewest bytes: kept as booleans, or made one at a time."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind
from torch.fx import Node

from .rewriting import arguments, call, calls, finish, replace

aten = torch.ops.aten
_COMPARISONS = (aten.le.Scalar, aten.lt.Scalar, aten.ge.Scalar, aten.gt.Scalar, aten.eq.Scalar)


def least_masks(program: ExportedProgram) -> int:
    """Settles when the masks of gradients are made; returns how many it moved or took apart.

    They are comparisons, in backward, of what activations returned. Where other gradients need that, it is
    there anyway, and of two masks, as hardtanh has, one is used before the other is made:

        masked_fill(g, a | b, 0) → masked_fill(masked_fill(g, a, 0), b, 0)

    Where none does, masks are made in forward and kept instead, a quarter of the bytes.
    """
    places = {node: i for i, node in enumerate(program.graph.nodes)}
    border = places[_loss(program)]
    count = 0
    for fill in calls(program, aten.masked_fill.Scalar):
        gradient, mask, value = arguments(fill)
        comparisons = _comparisons(mask)
        activations = {arguments(node)[0] for node in comparisons}
        if not comparisons or len(activations) != 1 or any(places[node] < border for node in comparisons):
            continue
        (activation,) = activations
        readers = _readers(activation)
        if places[activation] < border and _is_kept_for_masks(activation, readers, border, places):
            after = max([activation, *(r for r in readers if places[r] <= border)], key=places.__getitem__)
            for node in dict.fromkeys([*comparisons, mask]):
                after.append(node)
                after = node
            count += 1
        elif len(comparisons) == 2 and len(mask.users) == 1:
            with program.graph.inserting_before(fill):
                for node in comparisons:
                    args = (gradient, node, value)
                    gradient = call(program.graph, aten.masked_fill.Scalar, args, fill.meta["val"], fill)
            count += replace(program, fill, gradient)
    finish(program)
    return count


def _comparisons(mask: Node) -> list[Node]:
    """The one or two that a mask is made of; none if it isn't."""
    parts = arguments(mask) if mask.target is aten.bitwise_or.Tensor else (mask,)
    found = [part for part in parts if isinstance(part, Node) and part.target in _COMPARISONS]
    return found if len(found) == len(parts) else []


def _is_kept_for_masks(activation: Node, readers: set[Node], border: int, places: dict[Node, int]) -> bool:
    """Whether nothing needs an activation after the loss but comparisons."""
    later = [node for node in readers if places[node] > border]
    return activation.op == "call_function" and all(node.target in _COMPARISONS for node in later)


def _readers(tensor: Node) -> set[Node]:
    """Who uses a tensor, as it is or as a view."""
    found: set[Node] = set()
    for user in tensor.users:
        found |= _readers(user) if user.target is aten.reshape.default else {user}
    return found


def _loss(program: ExportedProgram) -> Node:
    kinds = [spec.kind for spec in program.graph_signature.output_specs]
    loss = program.graph.output_node().args[0][kinds.index(OutputKind.LOSS_OUTPUT)]
    assert isinstance(loss, Node)
    return loss
