"""What it costs to make a result again."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from ...upstream.edge import edge_operators
from .. import operators  # noqa: F401  registers edgetrain's own
from ..passes.rewriting import arguments

aten, dim_order_ops = edge_operators().aten, edge_operators().dim_order_ops
own = edge_operators().edgetrain
# Besides what PyTorch calls pointwise, and copies of views: they read and write each element once or twice.
_CHEAP = {
    dim_order_ops._to_dim_order_copy.default,
    dim_order_ops._clone_dim_order.default,
    aten.clone.default,
    aten.cat.default,
    aten.constant_pad_nd.default,
    aten.full.default,
    aten.full_like.default,
    aten.native_layer_norm.default,
    aten.native_group_norm.default,
    aten._native_batch_norm_legit_no_training.default,
}


def is_cheap(node: Node) -> bool:
    """Whether an operator is bound by memory: elementwise, a copy in another order, a norm's scale and
    shift."""
    tags = getattr(node.target, "tags", ())
    return node.target in _CHEAP or torch.Tag.pointwise in tags or torch.Tag.view_copy in tags


Shape = Callable[[Any], list[int]]


def multiply_adds(node: Node, largest: Callable[[Tensor], list[int]]) -> int:
    """Of convolutions and matrix products, forward and backward; all else counts nothing.

    Args:
        largest: a tensor's shape for the largest batch. To ask a length for its number would fix the batch in
            the whole graph.
    """
    count = _MULTIPLY_ADDS.get(node.target)
    return 0 if count is None else count(node, lambda argument: largest(argument.meta["val"]))


def _convolution(node: Node, shape: Shape) -> int:
    """Each output is a sum over one kernel; transposed, each input is spread over one."""
    args = arguments(node)
    return math.prod(shape(args[0] if args[6] else node)) * math.prod(shape(args[1])[1:])


def _convolution_backward(node: Node, shape: Shape) -> int:
    """As much as forward for each of the gradients of input and weight."""
    args = arguments(node)
    forward = math.prod(shape(args[1] if args[7] else args[0])) * math.prod(shape(args[2])[1:])
    return forward * sum(args[10][:2])


def _product(node: Node, shape: Shape) -> int:
    """[..., M, K] by [..., K, N], the two factors at the end of the arguments."""
    return math.prod(shape(node)) * shape(arguments(node)[-1])[-2]


def _linear(node: Node, shape: Shape) -> int:
    return math.prod(shape(node)) * shape(arguments(node)[1])[1]


def _recurrent(place: int) -> Callable[[Node, Shape], int]:
    """Each step multiplies every sample's state, or the gradients that reach it, by one weight.

    Args:
        place: of the weight among the arguments. What comes first is [T, B, ...].
    """

    def count(node: Node, shape: Shape) -> int:
        args = arguments(node)
        return math.prod(shape(args[0])[:2]) * math.prod(shape(args[place]))

    return count


_MULTIPLY_ADDS: dict[Any, Callable[[Node, Shape], int]] = {
    aten.convolution.default: _convolution,
    aten.convolution_backward.default: _convolution_backward,
    aten.mm.default: _product,
    aten.bmm.default: _product,
    aten.addmm.default: _product,
    aten.linear.default: _linear,
    own.lstm.default: _recurrent(3),
    own.lstm_backward.default: _recurrent(5),
    own.gru.default: _recurrent(2),
    own.gru_backward.default: _recurrent(4),
    own.rnn.default: _recurrent(2),
    own.rnn_backward.default: _recurrent(2),
}
