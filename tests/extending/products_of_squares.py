"""A graph step: x ** 2 → x * x, and x ** 1, which its derivative has, → x."""

from __future__ import annotations

import torch

from edgetrain.config.stages import ExportCommand
from edgetrain.export.passes.rewriting import arguments, call, calls, finish, replace
from edgetrain.export.pipeline import Joint

aten = torch.ops.aten


def products_of_squares(joint: Joint, command: ExportCommand) -> Joint:
    """Rewrites the powers of `train`, in place."""
    program = joint.graphs["train"]
    for node in calls(program, aten.pow.Tensor_Scalar):
        base, exponent = arguments(node)[:2]
        if exponent == 1:
            replace(program, node, base)
        elif exponent == 2:
            with program.graph.inserting_before(node):
                product = call(program.graph, aten.mul.Tensor, (base, base), node.meta["val"], node)
            replace(program, node, product)
    finish(program)
    return joint
