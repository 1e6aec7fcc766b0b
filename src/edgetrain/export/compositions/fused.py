"""Recurrent layers by operators of edgetrain's, each of which takes all steps.

What the inputs give is a product outside of them, and so is the gradient of the weight that steps multiply
their states with: a graph is as long for any number of steps.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import linear

from .. import operators
from . import unrolled
from .recurrent import Layer, Layers, Weights, is_projected, joint_bias, recurrent


def _lstm(
    x: Tensor, states: Sequence[Tensor], weights: Weights, has_biases: bool, reverse: bool
) -> tuple[Tensor, list[Tensor]]:
    if is_projected(weights):
        return unrolled.lstm(x, states, weights, has_biases, reverse)
    hidden, cell = states
    given = linear(x, weights[0], joint_bias(weights) if has_biases else None)
    outputs, _, cells = operators.lstm(given, hidden, cell, weights[1], reverse)
    return outputs, [_last(outputs, reverse), _last(cells, reverse)]


def _gru(
    x: Tensor, states: Sequence[Tensor], weights: Weights, has_biases: bool, reverse: bool
) -> tuple[Tensor, list[Tensor]]:
    (hidden,) = states
    given = linear(x, weights[0], weights[2] if has_biases else None)
    bias = weights[3] if has_biases else None
    outputs, _ = operators.gru(given, hidden, weights[1], bias, reverse)
    return outputs, [_last(outputs, reverse)]


def _plain(relu: bool) -> Layer:
    def layer(
        x: Tensor, states: Sequence[Tensor], weights: Weights, has_biases: bool, reverse: bool
    ) -> tuple[Tensor, list[Tensor]]:
        (hidden,) = states
        given = linear(x, weights[0], joint_bias(weights) if has_biases else None)
        outputs: Tensor = operators.rnn(given, hidden, weights[1], relu, reverse)
        return outputs, [_last(outputs, reverse)]

    return layer


def _last(steps: Tensor, reverse: bool) -> Tensor:
    return steps[0 if reverse else -1]


FUSED = recurrent(Layers(_lstm, _gru, _plain(relu=False), _plain(relu=True)))
