"""`edgetrain::gru`: one layer of a GRU in one direction, over all steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .definition import define, differentiable
from .states import before, places, product_gradient


def _forward(
    given: Tensor, hidden: Tensor, recurrent: Tensor, bias: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor]:
    outputs, gates = _empty(given, hidden, recurrent, bias, reverse)
    for step in places(len(given), reverse):
        reset, keep, old = torch.nn.functional.linear(hidden, recurrent, bias).chunk(3, 1)
        to_reset, to_keep, new = given[step].chunk(3, 1)
        reset, keep = (to_reset + reset).sigmoid(), (to_keep + keep).sigmoid()
        new = (new + reset * old).tanh()
        hidden = new + keep * (hidden - new)
        outputs[step] = hidden
        gates[step] = torch.cat([reset, keep, new, old], 1)
    return outputs, gates


def _empty(
    given: Tensor, hidden: Tensor, recurrent: Tensor, bias: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor]:
    steps, batch, size = given.shape[0], given.shape[1], recurrent.shape[1]
    return given.new_empty(steps, batch, size), given.new_empty(steps, batch, 4 * size)


def _backward(
    grad_outputs: Tensor, outputs: Tensor, gates: Tensor, hidden: Tensor, recurrent: Tensor, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    grad_given, grad_product, grad_hidden = _empty_backward(
        grad_outputs, outputs, gates, hidden, recurrent, reverse
    )
    grad_hidden = torch.zeros_like(grad_hidden)
    states = before(hidden, outputs, reverse)
    for step in reversed(places(len(gates), reverse)):
        reset, keep, new, old = gates[step].chunk(4, 1)
        grad = grad_outputs[step] + grad_hidden
        of_new = grad * (1 - keep) * (1 - new * new)
        of_keep = grad * (states[step] - new) * keep * (1 - keep)
        of_reset = of_new * old * reset * (1 - reset)
        grad_given[step] = torch.cat([of_reset, of_keep, of_new], 1)
        grad_product[step] = torch.cat([of_reset, of_keep, of_new * reset], 1)
        grad_hidden = grad * keep + grad_product[step] @ recurrent
    return grad_given, grad_product, grad_hidden


def _empty_backward(
    grad_outputs: Tensor, outputs: Tensor, gates: Tensor, hidden: Tensor, recurrent: Tensor, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    steps, batch, size = outputs.shape
    grad_given = outputs.new_empty(steps, batch, 3 * size)
    return grad_given, torch.empty_like(grad_given), hidden.new_empty(hidden.shape)


gru = define(
    "gru",
    "Tensor given, Tensor hidden, Tensor recurrent, Tensor? bias, bool reverse",
    ["outputs", "gates"],
    _forward,
    _empty,
)
"""([T, B, 3H] what the inputs give, [B, H] state at first, [3H, H] weight and [3H] bias of the state's
product, the other way round) → ([T, B, H] outputs, [T, B, 4H] what backward needs: the gates behind their
functions (reset, kept, new), and what is reset)."""

gru_backward = define(
    "gru_backward",
    "Tensor grad_outputs, Tensor outputs, Tensor gates, Tensor hidden, Tensor recurrent, bool reverse",
    ["grad_given", "grad_product", "grad_hidden"],
    _backward,
    _empty_backward,
)
"""Gradients of what the inputs give, of the state's product (another one, since a part of that is reset)
and of the state at first."""


def _keep(ctx: Any, inputs: Any, output: Any) -> None:
    _, hidden, recurrent, _, ctx.reverse = inputs
    outputs, gates = output
    ctx.mark_non_differentiable(gates)
    ctx.save_for_backward(hidden, recurrent, outputs, gates)


def _gradients(ctx: Any, grad_outputs: Tensor | None, _: None) -> Any:
    if grad_outputs is None:
        return None, None, None, None, None
    hidden, recurrent, outputs, gates = ctx.saved_tensors
    grad_given, grad_product, grad_hidden = gru_backward(
        grad_outputs, outputs, gates, hidden, recurrent, ctx.reverse
    )
    grad_recurrent = grad_bias = None
    if ctx.needs_input_grad[2]:
        grad_recurrent = product_gradient(grad_product, before(hidden, outputs, ctx.reverse))
    if ctx.needs_input_grad[3]:
        grad_bias = grad_product.reshape(-1, grad_product.shape[2]).sum(0)
    return grad_given, grad_hidden, grad_recurrent, grad_bias, None


differentiable(gru, _keep, _gradients)
