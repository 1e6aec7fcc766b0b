"""Recurrent layers written out step by step, in operators that any ExecuTorch runs.

PyTorch writes them out, too, but adds gates and biases in each step, so that the graph is half as long
again. What does not need the step before is done for all at once. What is left of a step here is a matrix
product, which takes what the inputs give as its first summand, and the gates. Gradients of weights become
one product by the pass `summed_products`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .recurrent import Layer, Layers, Weights, is_projected, joint_bias, recurrent


def _steps(given: Tensor, reverse: bool) -> list[Tensor]:
    steps = list(given.unbind(0))
    return steps[::-1] if reverse else steps


def _joined(outputs: list[Tensor], reverse: bool) -> Tensor:
    return torch.stack(outputs[::-1] if reverse else outputs)


def lstm(
    x: Tensor, states: Sequence[Tensor], weights: Weights, has_biases: bool, reverse: bool
) -> tuple[Tensor, list[Tensor]]:
    hidden, cell = states
    bias = joint_bias(weights) if has_biases else None
    projection = weights[-1].t() if is_projected(weights) else None
    given = torch.nn.functional.linear(x, weights[0], bias)
    turned, size = weights[1].t(), cell.shape[1]
    outputs = []
    for step in _steps(given, reverse):
        gates = torch.addmm(step, hidden, turned)
        opened, new, out = gates.split([2 * size, size, size], 1)
        enter, keep = opened.sigmoid().chunk(2, 1)
        cell = keep * cell + enter * new.tanh()
        hidden = out.sigmoid() * cell.tanh()
        if projection is not None:
            hidden = hidden @ projection
        outputs.append(hidden)
    return _joined(outputs, reverse), [hidden, cell]


def _gru(
    x: Tensor, states: Sequence[Tensor], weights: Weights, has_biases: bool, reverse: bool
) -> tuple[Tensor, list[Tensor]]:
    """What is reset of the state before is its product with its bias, so that this one can't be taken out."""
    (hidden,) = states
    size = hidden.shape[1]
    given = torch.nn.functional.linear(x, weights[0], weights[2] if has_biases else None)
    turned = weights[1].t()
    outputs = []
    for step in _steps(given, reverse):
        product = torch.addmm(weights[3], hidden, turned) if has_biases else hidden @ turned
        gates, old = product.split([2 * size, size], 1)
        inputs, new = step.split([2 * size, size], 1)
        reset, keep = (inputs + gates).sigmoid().chunk(2, 1)
        new = (new + reset * old).tanh()
        hidden = new + keep * (hidden - new)
        outputs.append(hidden)
    return _joined(outputs, reverse), [hidden]


def _plain(activation: Callable[[Tensor], Tensor]) -> Layer:
    def layer(
        x: Tensor, states: Sequence[Tensor], weights: Weights, has_biases: bool, reverse: bool
    ) -> tuple[Tensor, list[Tensor]]:
        (hidden,) = states
        bias = joint_bias(weights) if has_biases else None
        given, turned = torch.nn.functional.linear(x, weights[0], bias), weights[1].t()
        outputs = []
        for step in _steps(given, reverse):
            hidden = activation(torch.addmm(step, hidden, turned))
            outputs.append(hidden)
        return _joined(outputs, reverse), [hidden]

    return layer


UNROLLED = recurrent(Layers(lstm, _gru, _plain(torch.tanh), _plain(torch.relu)))
