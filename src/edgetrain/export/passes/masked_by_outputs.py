"""Masks of gradients taken from what relu, hardtanh, max-pool and dropout returned, not from what they got.

What they got then needn't be kept until the backward graph. These are the largest activations of a
convolutional network.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Node

from .rewriting import arguments, call, calls, finish, replace

aten = torch.ops.aten


def masked_by_outputs(program: ExportedProgram) -> int:
    """Rewrites gradients of relu before max-pool or dropout, and of hardtanh; returns how many there were."""
    count = _before_unpooling(program) + _before_dropout(program) + _hardtanh(program)
    finish(program)
    _relu_after_pooling(program)
    finish(program)
    return count


def _before_unpooling(program: ExportedProgram) -> int:
    """masked_fill(scatter_add(0, i, g), relu <= 0) → scatter_add(0, i, masked_fill(g, pooled <= 0))

    A pooled value is what relu returned at its index, so the gradient that is scattered there passes relu if
    the pooled value does; elsewhere there is none. The mask is as small as the pooled image.
    """
    count = 0
    for node in calls(program, aten.masked_fill.Scalar):
        gradient, mask, value = arguments(node)
        scattered = _through_views(gradient)
        if value != 0 or mask.target is not aten.le.Scalar or mask.args[1] != 0:
            continue
        if scattered.target is not aten.scatter_add.default or len(scattered.users) != 1:
            continue
        zeros, _, indices, source = arguments(scattered)
        pooled = _pooled(mask.args[0], _through_views(indices))
        if pooled is None or zeros.target is not aten.full.default or zeros.args[1] != 0:
            continue
        shape = [size if isinstance(size, int) else -1 for size in source.meta["val"].shape]
        if shape.count(-1) > 1:
            continue
        graph = program.graph
        with graph.inserting_before(scattered):
            closed = call(graph, aten.le.Scalar, (pooled, 0), _booleans(pooled), node)
            closed = call(graph, aten.reshape.default, (closed, shape), _booleans(source), node)
            masked = call(graph, aten.masked_fill.Scalar, (source, closed, 0), source.meta["val"], node)
        scattered.update_arg(3, masked)
        count += replace(program, node, gradient)
    return count


def _before_dropout(program: ExportedProgram) -> int:
    """relu <= 0 → dropped <= 0

    These differ where a value was dropped, where the gradient is 0 already.
    """
    count = 0
    for activation in calls(program, aten.relu.default):
        products = [user for user in activation.users if _is_dropped(user, activation)]
        masks = [u for u in activation.users if u.target is aten.le.Scalar and u.args[1] == 0]
        others = [u for u in activation.users if u not in (*products, *masks)]
        # The dropout asks for its shape.
        if (
            len(products) != 1
            or len(masks) != 1
            or any(u.target is not aten.full_like.default for u in others)
        ):
            continue
        masks[0].update_arg(0, products[0])
        count += 1
    return count


def _is_dropped(product: Node, activation: Node) -> bool:
    """Whether a node is an activation times the mask of a dropout (`dropout_as_mask`)."""
    if product.target is not aten.mul.Tensor or product.args[0] is not activation:
        return False
    mask = arguments(product)[1]
    parts = [part for part in arguments(mask) if isinstance(part, Node)]
    return mask.target is aten.mul.Tensor and any(
        part.target is operator.getitem and arguments(part)[0].target is aten.native_dropout.default
        for part in parts
    )


def _relu_after_pooling(program: ExportedProgram) -> None:
    """max_pool(relu(x)) → relu(max_pool(x)), where the relu is for the pool alone.

    Where all values of a window are negative another index is returned, that of a gradient which is masked.
    """
    for node in calls(program, aten.max_pool2d_with_indices.default):
        activation = arguments(node)[0]
        if activation.target is not aten.relu.default or len(activation.users) != 1:
            continue
        pooled = next((user for user in node.users if user.args[1] == 0), None)
        if pooled is None or pooled in program.graph.output_node().args[0]:
            continue
        node.update_arg(0, activation.args[0])
        users = list(pooled.users)
        with program.graph.inserting_after(pooled):
            relu = call(program.graph, aten.relu.default, (pooled,), pooled.meta["val"], activation)
        for user in users:
            user.replace_input_with(pooled, relu)


def _pooled(activation: Any, indices: Any) -> Node | None:
    """What a max-pool over a relu returned beside these indices."""
    if activation.target is not aten.relu.default or indices.target is not operator.getitem:
        return None
    pool = indices.args[0]
    if pool.target is not aten.max_pool2d_with_indices.default or pool.args[0] is not activation:
        return None
    return next((user for user in pool.users if user.args[1] == 0), None)


def _hardtanh(program: ExportedProgram) -> int:
    """x <= low, x >= high → the same of hardtanh(x, low, high), which is low or high just there."""
    count = 0
    for activation in calls(program, aten.hardtanh.default):
        x, low, high = (arguments(activation) + (-1.0, 1.0)[len(activation.args) - 1 :])[:3]
        for bound, comparison in ((low, aten.le.Scalar), (high, aten.ge.Scalar)):
            for user in [u for u in x.users if u.target is comparison and u.args[1] == bound]:
                user.update_arg(0, activation)
                count += 1
    return count


def _booleans(node: Node) -> Tensor:
    value: Tensor = node.meta["val"].to(torch.bool)
    return value


def _through_views(node: Any) -> Any:
    while node.target is aten.reshape.default:
        node = node.args[0]
    return node
