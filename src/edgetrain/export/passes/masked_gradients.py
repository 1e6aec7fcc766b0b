"""where(mask, 0, x) → masked_fill(x, mask, 0), as in the gradients of relu and hardtanh."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from .rewriting import arguments, call, calls, finish, replace, same_shape

aten = torch.ops.aten


def masked_gradients(program: ExportedProgram) -> int:
    """Writes choices between a tensor and a constant as masked_fill; returns how many there were.

    One form for `masked_by_outputs` to find; lowering makes `where` of what is left. Where the constant comes
    second, the comparison that made the mask is turned round if it is x != c; x <= c and x > c are no
    opposites, for NaN.
    """
    count = 0
    for node in calls(program, aten.where.self):
        mask, yes, no = arguments(node)
        if (value := _constant(yes)) is not None and _fits(no, node):
            filled = (no, mask, value)
        elif (value := _constant(no)) is not None and _fits(yes, node) and mask.target is aten.ne.Scalar:
            with program.graph.inserting_before(node):
                mask = call(program.graph, aten.eq.Scalar, mask.args, mask.meta["val"], mask)
            filled = (yes, mask, value)
        else:
            continue
        with program.graph.inserting_before(node):
            fill = call(program.graph, aten.masked_fill.Scalar, filled, node.meta["val"], node)
        count += replace(program, node, fill)
    finish(program)
    return count


def _constant(node: Node) -> float | None:
    if node.target is not aten.scalar_tensor.default:
        return None
    value = arguments(node)[0]
    return value if isinstance(value, (int, float)) else None


def _fits(node: Node, result: Node) -> bool:
    return node.meta["val"].dtype == result.meta["val"].dtype and same_shape(node, result)
