"""addmm(bias, x, permute(weight)) → linear(x, weight, bias): no copy of the weight."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from .rewriting import arguments, call, calls, finish, permutation, replace

aten = torch.ops.aten


def kept_linear(program: ExportedProgram) -> int:
    """Brings back the linear layers autograd took apart; returns how many there were.

    The runtime has a kernel for them, which reads the weight as it lies. Lowering must be told to leave
    `aten.linear` alone (`lowering.to_edge_dialect`).
    """
    count = 0
    for node in calls(program, aten.addmm.default, aten.mm.default):
        bias, x, weight = arguments(node) if node.target is aten.addmm.default else (None, *arguments(node))
        if node.kwargs or not (isinstance(weight, Node) and _is_transpose(weight)):
            continue
        if bias is not None and len(bias.meta["val"].shape) != 1:
            continue
        with program.graph.inserting_before(node):
            args = (x, weight.args[0]) if bias is None else (x, weight.args[0], bias)
            linear = call(program.graph, aten.linear.default, args, node.meta["val"], node)
        count += replace(program, node, linear)
    finish(program)
    return count


def _is_transpose(node: Node) -> bool:
    return node.target is aten.permute.default and permutation(node) == [1, 0]
