"""Recurrent layers, written out step by step; what does not need the step before is done for all at once.

The runtime has no kernels for them. PyTorch writes them out, too, but adds gates and biases in each step, so
that the graph is half as long again, and leaves out dropout between layers. What is left of a step here is a
matrix product, which takes what the inputs give as its first summand, and the gates. Gradients of weights
become one product by the pass `summed_products`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

# A layer's weights: of inputs, of the state before, then its biases and its projection, where it has any.
Weights = Sequence[Tensor]
# ([T, B, F], states at first [B, H] each, weights, whether there are biases, the other way round)
# → ([T, B, H], states at last)
Layer = Callable[[Tensor, Sequence[Tensor], Weights, bool, bool], tuple[Tensor, list[Tensor]]]


def lstm(
    x: Tensor,
    states: Sequence[Tensor],
    weights: Weights,
    has_biases: bool,
    layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> Any:
    """[T, B, F], or [B, T, F] with `batch_first`; states at first [L, B, P] and [L, B, H].

    Returns:
        the last layer's outputs, and the states at last.
    """
    projected = states[0].shape[2] != states[1].shape[2]
    settings = (weights, has_biases, layers, dropout, train, bidirectional, batch_first)
    found = _layers(_lstm, x, states, *settings, count=2 + 2 * has_biases + projected)
    return found if found is NotImplemented else (found[0], *found[1])


def gru(x: Tensor, state: Tensor, *settings: Any) -> Any:
    """As `lstm`, with one state."""
    return _with_one_state(_gru, x, state, *settings)


def rnn_tanh(x: Tensor, state: Tensor, *settings: Any) -> Any:
    """As `gru`."""
    return _with_one_state(_plain(torch.tanh), x, state, *settings)


def rnn_relu(x: Tensor, state: Tensor, *settings: Any) -> Any:
    """As `gru`."""
    return _with_one_state(_plain(torch.relu), x, state, *settings)


def _with_one_state(
    layer: Layer, x: Tensor, state: Tensor, weights: Weights, has_biases: bool, *settings: Any
) -> Any:
    found = _layers(layer, x, [state], weights, has_biases, *settings, count=2 + 2 * has_biases)
    return found if found is NotImplemented else (found[0], found[1][0])


def _layers(
    layer: Layer,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Weights,
    has_biases: bool,
    layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
    *,
    count: int,
) -> Any:
    """Layers over one another, in one direction or both.

    Args:
        count: of the tensors among `weights` that belong to one layer in one direction.
    """
    x = x.transpose(0, 1) if batch_first else x
    if not isinstance(x.shape[0], int):
        return NotImplemented
    directions = 2 if bidirectional else 1
    last: list[list[Tensor]] = []
    for depth in range(layers):
        outputs = []
        for direction in range(directions):
            at = depth * directions + direction
            own = weights[at * count : (at + 1) * count]
            found, ended = layer(x, [state[at] for state in states], own, has_biases, direction == 1)
            outputs.append(found)
            last.append(ended)
        x = torch.cat(outputs, 2) if bidirectional else outputs[0]
        if dropout and train and depth < layers - 1:
            x = torch.dropout(x, dropout, True)
    return x.transpose(0, 1) if batch_first else x, [torch.stack(state) for state in zip(*last, strict=True)]


def _bias(weights: Weights) -> Tensor:
    """The sum of both biases; not by `+`, of which both would have the very same gradient, and PyTorch's
    joint graphs can't return one tensor for two parameters."""
    return torch.stack([weights[2], weights[3]]).sum(0)


def _steps(given: Tensor, reverse: bool) -> list[Tensor]:
    steps = list(given.unbind(0))
    return steps[::-1] if reverse else steps


def _joined(outputs: list[Tensor], reverse: bool) -> Tensor:
    return torch.stack(outputs[::-1] if reverse else outputs)


def _lstm(
    x: Tensor, states: Sequence[Tensor], weights: Weights, has_biases: bool, reverse: bool
) -> tuple[Tensor, list[Tensor]]:
    hidden, cell = states
    bias = _bias(weights) if has_biases else None
    projection = weights[-1].t() if len(weights) % 2 else None
    given = torch.nn.functional.linear(x, weights[0], bias)
    recurrent, size = weights[1].t(), cell.shape[1]
    outputs = []
    for step in _steps(given, reverse):
        gates = torch.addmm(step, hidden, recurrent)
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
    recurrent = weights[1].t()
    outputs = []
    for step in _steps(given, reverse):
        product = torch.addmm(weights[3], hidden, recurrent) if has_biases else hidden @ recurrent
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
        bias = _bias(weights) if has_biases else None
        given, recurrent = torch.nn.functional.linear(x, weights[0], bias), weights[1].t()
        outputs = []
        for step in _steps(given, reverse):
            hidden = activation(torch.addmm(step, hidden, recurrent))
            outputs.append(hidden)
        return _joined(outputs, reverse), [hidden]

    return layer
