"""Gradients of what convolutions were given, by operators that aren't given it, too."""

from __future__ import annotations

import operator

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from .rewriting import arguments, calls, computed, finish, replace

aten = torch.ops.aten
_INPUT, _WEIGHT, _BIAS = range(3)


def gradients_without_inputs(program: ExportedProgram) -> int:
    """Rewrites the backward operators of convolutions with a frozen weight; returns how many there were.

    `convolution_backward` takes the input, which is kept until then, even if it makes no gradient of the
    weight, for which alone it is read. Without it, the gradient of the input is the transposed convolution of
    the output's, and that of the bias its sum.
    """
    count = 0
    for node in calls(program, aten.convolution_backward.default):
        if not _is_transposable(node):
            continue
        outputs = {user.args[1]: user for user in node.users}
        grad = arguments(node)[0]
        with program.graph.inserting_before(node):
            if _INPUT in outputs:
                replace(program, outputs[_INPUT], _transposed(node, outputs[_INPUT]))
            if _BIAS in outputs:
                dims = [0, *range(2, grad.meta["val"].dim())]
                total = computed(program.graph, aten.sum.dim_IntList, (grad, dims), outputs[_BIAS])
                replace(program, outputs[_BIAS], total)
        count += 1
    finish(program)
    return count


def _is_transposable(node: Node) -> bool:
    """Whether it makes no gradient of a weight, and knows all sizes of images but the batch."""
    if any(user.target is not operator.getitem or user.args[1] == _WEIGHT for user in node.users):
        return False
    sizes = [*arguments(node)[0].meta["val"].shape[1:], *arguments(node)[1].meta["val"].shape[1:]]
    return not arguments(node)[7] and all(isinstance(size, int) for size in sizes)


def _transposed(node: Node, place: Node) -> Node:
    """The gradient of a convolution's input, in the place of what its backward operator returned."""
    grad, x, weight, _, stride, padding, dilation, _, _, groups, _ = arguments(node)
    # Pixels at the end that no window reached, as a stride may leave.
    missing = [
        size + 2 * p - d * (k - 1) - 1 - (out - 1) * s
        for size, out, k, s, p, d in zip(
            x.meta["val"].shape[2:],
            grad.meta["val"].shape[2:],
            weight.meta["val"].shape[2:],
            stride,
            padding,
            dilation,
            strict=True,
        )
    ]
    args = (grad, weight, None, stride, padding, dilation, True, missing, groups)
    return computed(node.graph, aten.convolution.default, args, place)
