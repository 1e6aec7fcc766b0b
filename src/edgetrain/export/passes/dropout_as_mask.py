"""dropout(x) → x * dropout(ones): dropout as a mask the runtime scales by itself."""

from __future__ import annotations

import operator

import torch
from torch.export import ExportedProgram
from torch.fx import Node

aten = torch.ops.aten


def dropout_as_mask(program: ExportedProgram) -> int:
    """Rewrites every active dropout in a captured forward graph; returns how many there were.

    Written as ATen does it, the backward graph holds the scale 1/(1-p) as a constant of its own, apart from
    the p of the forward operator. Dropping out a tensor of ones instead makes a mask that is already
    scaled, and both directions multiply by it: p then stands in one place, and setting it to 0 in the
    finished program (`artifacts.program.without_dropout`) turns dropout off rightly, which is how programs
    with dropout are verified and compared.
    """
    graph = program.graph_module.graph
    count = 0
    for node in list(graph.nodes):
        if node.op == "call_function" and node.target is aten.dropout.default:
            x, p, training = node.args
            if training and p > 0:
                node.replace_all_uses_with(_masked(graph, node, x, p))
                count += 1
            else:
                node.replace_all_uses_with(x)
            graph.erase_node(node)
    if count:
        program.graph_module.recompile()
    return count


def _masked(graph: torch.fx.Graph, node: Node, x: Node, p: float) -> Node:
    value = node.meta["val"]

    def call(target: object, *args: object) -> Node:
        created = graph.call_function(target, args)  # type: ignore[arg-type]
        created.meta = {**node.meta, "val": value.detach()}
        return created

    with graph.inserting_before(node):
        ones = call(aten.ones_like.default, x)
        dropped = call(aten.native_dropout.default, ones, p, True)
        dropped.meta["val"] = (value.detach(), value.detach().to(torch.bool))
        mask = call(operator.getitem, dropped, 0)
        product = call(aten.mul.Tensor, x, mask)
        product.meta["val"] = value
    return product
