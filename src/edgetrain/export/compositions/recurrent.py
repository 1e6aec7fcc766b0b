"""Recurrent layers of PyTorch as layers in one direction each, with dropout between them.

The runtime has no kernels for them, and PyTorch's own way of writing them out leaves dropout between layers
away. How a layer in one direction is written is another matter: by an operator of edgetrain's (`fused`), or
step by step (`unrolled`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten

# A layer's weights: of inputs, of the state before, then its biases and its projection, where it has any.
Weights = Sequence[Tensor]
# ([T, B, F], states at first [B, H] each, weights, whether there are biases, the other way round)
# → ([T, B, H], states at last)
Layer = Callable[[Tensor, Sequence[Tensor], Weights, bool, bool], tuple[Tensor, list[Tensor]]]


@dataclass(frozen=True)
class Layers:
    """How each kind of layer is written in one direction."""

    lstm: Layer
    gru: Layer
    rnn_tanh: Layer
    rnn_relu: Layer


def recurrent(kinds: Layers) -> dict[Any, Callable[..., Any]]:
    """Compositions of PyTorch's recurrent operators."""
    return {
        aten.lstm.input: _lstm(kinds.lstm),
        aten.gru.input: _with_one_state(kinds.gru),
        aten.rnn_tanh.input: _with_one_state(kinds.rnn_tanh),
        aten.rnn_relu.input: _with_one_state(kinds.rnn_relu),
    }


def joint_bias(weights: Weights) -> Tensor:
    """The sum of both biases; not by `+`, of which both would have the very same gradient, and PyTorch's
    joint graphs can't return one tensor for two parameters."""
    return torch.stack([weights[2], weights[3]]).sum(0)


def is_projected(weights: Weights) -> bool:
    """Whether a layer of an LSTM has a projection, its last weight."""
    return len(weights) % 2 == 1


def _lstm(layer: Layer) -> Callable[..., Any]:
    def lstm(x: Tensor, states: Sequence[Tensor], weights: Weights, has_biases: bool, *settings: Any) -> Any:
        """[T, B, F], or [B, T, F] with `batch_first`; states at first [L, B, P] and [L, B, H].

        Returns:
            the last layer's outputs, and the states at last.
        """
        projected = states[0].shape[2] != states[1].shape[2]
        count = 2 + 2 * has_biases + projected
        found = _layers(layer, x, states, weights, has_biases, *settings, count=count)
        return found if found is NotImplemented else (found[0], *found[1])

    return lstm


def _with_one_state(layer: Layer) -> Callable[..., Any]:
    def one_state(x: Tensor, state: Tensor, weights: Weights, has_biases: bool, *settings: Any) -> Any:
        """As `lstm`, with one state."""
        found = _layers(layer, x, [state], weights, has_biases, *settings, count=2 + 2 * has_biases)
        return found if found is NotImplemented else (found[0], found[1][0])

    return one_state


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
