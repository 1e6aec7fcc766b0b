"""Batch norm with running statistics as what it is: a scale and a shift for each channel.

For the operator's gradient, what it was given is kept, and what it returned. Behind a convolution or a linear
layer the scale becomes part of the weight, and neither is.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from executorch.exir.sym_util import eval_shape_upper_bound
from torch.export import ExportedProgram
from torch.fx import Node

from ...artifacts.contract import BACKBONE
from ...config.stages import ExportCommand
from ..passes.rewriting import arguments, calls, computed, finish
from ..pipeline import Captured

aten = torch.ops.aten
_LINEAR = aten.linear.default
_CONVOLUTIONS = (
    aten.conv1d.default,
    aten.conv1d.padding,
    aten.conv2d.default,
    aten.conv2d.padding,
    aten.conv3d.default,
    aten.conv3d.padding,
)
_TRANSPOSED = (aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input)


def folded_batch_norm(captured: Captured, command: ExportCommand) -> Captured:
    """Rewrites the batch norms of all methods, in place; but those of a backbone, whose backend does that for
    its own sake."""
    for name, program in captured.graphs.items():
        if name != BACKBONE:
            fold_batch_norm(program)
    return captured


def fold_batch_norm(program: ExportedProgram) -> int:
    """Makes a scale and a shift of each batch norm in evaluation mode; returns how many there were.

    After a layer that nobody else reads, and whose weight W and bias b are any tensors,

        norm(layer(x, W, b)) → layer(x, W s, beta + (b - mean) s),  s = gamma / sqrt(var + eps)

    all computed in the graph from what they are now: gradients of W, b, gamma and beta follow by the chain
    rule. That of gamma comes out of that of W. Where just gamma is trained, it would be all that this is made
    for, and x be kept for it; then the norm stays behind the layer, as it does where there is none. So it
    does where the layer's weight is larger than what it returns for the largest batch, since at each step
    what is scaled, forward and backward, is the one or the other.
    """
    norms = [node for node in calls(program, aten.batch_norm.default) if not arguments(node)[5]]
    for norm in norms:
        layer = norm.args[0]
        assert isinstance(layer, Node)
        with program.graph.inserting_before(norm):
            result = _folded(norm, layer) if _takes(layer, norm, program) else _scaled(norm, program)
        norm.replace_all_uses_with(result)
        program.graph_signature.replace_all_uses(norm.name, result.name)
    finish(program)
    return len(norms)


def _takes(layer: Node, norm: Node, program: ExportedProgram) -> bool:
    """Whether the norm's scale can be a part of the layer's weight, and shall be."""
    if layer.target not in (_LINEAR, *_CONVOLUTIONS, *_TRANSPOSED) or len(layer.users) != 1:
        return False
    weight = arguments(layer)[1]
    # Channels come second, after a batch.
    if layer.meta["val"].dim() != weight.meta["val"].dim():
        return False
    if _is_trained(norm.args[1], program) and not _is_trained(weight, program):
        return False
    return weight.meta["val"].numel() <= math.prod(eval_shape_upper_bound(layer.meta["val"].shape))


def _is_trained(tensor: Any, program: ExportedProgram) -> bool:
    """Whether a tensor, or one that it is made of, is a parameter with a gradient."""
    names, parameters = program.graph_signature.inputs_to_parameters, program.state_dict
    pending, seen = [tensor] if isinstance(tensor, Node) else [], set()
    while pending:
        node = pending.pop()
        if node.name in names and parameters[names[node.name]].requires_grad:
            return True
        pending += [source for source in node.all_input_nodes if source not in seen]
        seen.update(node.all_input_nodes)
    return False


def _folded(norm: Node, layer: Node) -> Node:
    """The layer with the norm in its weight and bias."""
    graph = norm.graph
    x, weight, *settings = arguments(layer)
    named = dict(layer.kwargs)
    bias = settings.pop(0) if settings else named.pop("bias", None)
    scale, mean = _scale(norm), arguments(norm)[3]
    scaled = computed(graph, aten.mul.Tensor, (weight, _along_weight(scale, layer)), norm)
    centre = mean if bias is None else computed(graph, aten.sub.Tensor, (mean, bias), norm)
    return computed(graph, layer.target, (x, scaled, _shift(norm, centre, scale), *settings), layer, **named)


def _scaled(norm: Node, program: ExportedProgram) -> Node:
    """The norm as a product and a sum."""
    graph = norm.graph
    x, gamma, beta, mean = arguments(norm)[:4]
    scale = _scale(norm)
    if not _is_trained(gamma, program):
        # As ATen does it; nothing is kept.
        product = computed(graph, aten.mul.Tensor, (x, _for_channels(scale, x)), norm)
        return computed(graph, aten.add.Tensor, (product, _for_channels(_shift(norm, mean, scale), x)), norm)
    # What is kept for gamma is centred, so that its gradient is no small difference of large sums.
    centred = computed(graph, aten.sub.Tensor, (x, _for_channels(mean, x)), norm)
    product = computed(graph, aten.mul.Tensor, (centred, _for_channels(scale, x)), norm)
    if beta is None:
        return product
    return computed(graph, aten.add.Tensor, (product, _for_channels(beta, x)), norm)


def _scale(norm: Node) -> Node:
    """gamma / sqrt(var + eps), [C]"""
    gamma, variance, eps = (arguments(norm)[i] for i in (1, 4, 7))
    scale = computed(norm.graph, aten.add.Tensor, (variance, eps), norm)
    scale = computed(norm.graph, aten.rsqrt.default, (scale,), norm)
    return scale if gamma is None else computed(norm.graph, aten.mul.Tensor, (gamma, scale), norm)


def _shift(norm: Node, centre: Node, scale: Node) -> Node:
    """beta - centre * scale, [C]"""
    beta = arguments(norm)[2]
    product = computed(norm.graph, aten.mul.Tensor, (centre, scale), norm)
    if beta is None:
        return computed(norm.graph, aten.neg.default, (product,), norm)
    return computed(norm.graph, aten.sub.Tensor, (beta, product), norm)


def _for_channels(tensor: Node, x: Node) -> Node:
    """[C] → [C, 1, ...], to be used with [B, C, ...]."""
    dims = x.meta["val"].dim()
    if dims == 2:
        return tensor
    return computed(tensor.graph, aten.reshape.default, (tensor, [-1] + [1] * (dims - 2)), tensor)


def _along_weight(scale: Node, layer: Node) -> Node:
    """[C] in the shape of the layer's weight, or one that broadcasts to it."""
    graph, sizes = scale.graph, list(arguments(layer)[1].meta["val"].shape)
    ones = [1] * (len(sizes) - 2)
    if layer.target not in _TRANSPOSED:
        return computed(graph, aten.reshape.default, (scale, [-1, 1, *ones]), scale)
    # [inputs, C / groups, ...]: each group of inputs has outputs of its own.
    groups = layer.args[6] if len(layer.args) > 6 else layer.kwargs.get("groups", 1)
    by_group = computed(graph, aten.reshape.default, (scale, [groups, 1, -1]), scale)
    wide = computed(graph, aten.expand.default, (by_group, [groups, sizes[0] // groups, sizes[1]]), scale)
    return computed(graph, aten.reshape.default, (wide, [*sizes[:2], *ones]), scale)
