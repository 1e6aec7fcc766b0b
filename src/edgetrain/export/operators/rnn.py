"""`edgetrain::rnn`: one plain recurrent layer in one direction, over all steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .definition import define, differentiable
from .states import before, places, product_gradient


def _forward(given: Tensor, hidden: Tensor, recurrent: Tensor, relu: bool, reverse: bool) -> Tensor:
    outputs = _empty(given, hidden, recurrent, relu, reverse)
    for step in places(len(given), reverse):
        hidden = torch.addmm(given[step], hidden, recurrent.t())
        hidden = hidden.relu() if relu else hidden.tanh()
        outputs[step] = hidden
    return outputs


def _empty(given: Tensor, hidden: Tensor, recurrent: Tensor, relu: bool, reverse: bool) -> Tensor:
    return given.new_empty(given.shape)


def _backward(
    grad_outputs: Tensor, outputs: Tensor, recurrent: Tensor, relu: bool, reverse: bool
) -> tuple[Tensor, Tensor]:
    grad_given, grad_hidden = _empty_backward(grad_outputs, outputs, recurrent, relu, reverse)
    grad_hidden = torch.zeros_like(grad_hidden)
    for step in reversed(places(len(outputs), reverse)):
        grad, value = grad_outputs[step] + grad_hidden, outputs[step]
        grad_given[step] = grad * (value > 0) if relu else grad * (1 - value * value)
        grad_hidden = grad_given[step] @ recurrent
    return grad_given, grad_hidden


def _empty_backward(
    grad_outputs: Tensor, outputs: Tensor, recurrent: Tensor, relu: bool, reverse: bool
) -> tuple[Tensor, Tensor]:
    return outputs.new_empty(outputs.shape), outputs.new_empty(outputs.shape[1:])


rnn = define(
    "rnn",
    "Tensor given, Tensor hidden, Tensor recurrent, bool relu, bool reverse",
    ["outputs"],
    _forward,
    _empty,
)
"""([T, B, H] what the inputs give, [B, H] state at first, [H, H] weight, ReLU rather than tanh, the other way
round) → ([T, B, H] outputs)."""

rnn_backward = define(
    "rnn_backward",
    "Tensor grad_outputs, Tensor outputs, Tensor recurrent, bool relu, bool reverse",
    ["grad_given", "grad_hidden"],
    _backward,
    _empty_backward,
)
"""Gradients of what the inputs give and of the state at first."""


def _keep(ctx: Any, inputs: Any, output: Tensor) -> None:
    _, hidden, recurrent, ctx.relu, ctx.reverse = inputs
    ctx.save_for_backward(hidden, recurrent, output)


def _gradients(ctx: Any, grad_outputs: Tensor | None) -> Any:
    if grad_outputs is None:
        return None, None, None, None, None
    hidden, recurrent, outputs = ctx.saved_tensors
    grad_given, grad_hidden = rnn_backward(grad_outputs, outputs, recurrent, ctx.relu, ctx.reverse)
    grad_recurrent = None
    if ctx.needs_input_grad[2]:
        grad_recurrent = product_gradient(grad_given, before(hidden, outputs, ctx.reverse))
    return grad_given, grad_hidden, grad_recurrent, None, None


differentiable(rnn, _keep, _gradients)
