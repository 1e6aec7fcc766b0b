"""`edgetrain::lstm`: one layer of an LSTM in one direction, over all steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .definition import define, differentiable
from .states import before, places, product_gradient


def _forward(
    given: Tensor, hidden: Tensor, cell: Tensor, recurrent: Tensor, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    outputs, gates, cells = _empty(given, hidden, cell, recurrent, reverse)
    for step in places(len(given), reverse):
        enter, keep, new, out = torch.addmm(given[step], hidden, recurrent.t()).chunk(4, 1)
        enter, keep, new, out = enter.sigmoid(), keep.sigmoid(), new.tanh(), out.sigmoid()
        cell = keep * cell + enter * new
        hidden = out * cell.tanh()
        outputs[step], cells[step] = hidden, cell
        gates[step] = torch.cat([enter, keep, new, out], 1)
    return outputs, gates, cells


def _empty(
    given: Tensor, hidden: Tensor, cell: Tensor, recurrent: Tensor, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    steps, batch, size = given.shape[0], given.shape[1], recurrent.shape[1]
    outputs = given.new_empty(steps, batch, size)
    return outputs, given.new_empty(given.shape), torch.empty_like(outputs)


def _backward(
    grad_outputs: Tensor,
    grad_cells: Tensor | None,
    gates: Tensor,
    cells: Tensor,
    cell: Tensor,
    recurrent: Tensor,
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    grad_given = torch.empty_like(gates, memory_format=torch.contiguous_format)
    grad_hidden, grad_cell = torch.zeros_like(grad_outputs[0]), torch.zeros_like(grad_outputs[0])
    cells_before = before(cell, cells, reverse)
    for step in reversed(places(len(gates), reverse)):
        enter, keep, new, out = gates[step].chunk(4, 1)
        shown = cells[step].tanh()
        grad = grad_outputs[step] + grad_hidden
        inside = grad_cell + grad * out * (1 - shown * shown)
        if grad_cells is not None:
            inside = inside + grad_cells[step]
        grad_given[step] = torch.cat(
            [
                inside * new * enter * (1 - enter),
                inside * cells_before[step] * keep * (1 - keep),
                inside * enter * (1 - new * new),
                grad * shown * out * (1 - out),
            ],
            1,
        )
        grad_hidden, grad_cell = grad_given[step] @ recurrent, inside * keep
    return grad_given, grad_hidden.contiguous(), grad_cell.contiguous()


def _empty_backward(
    grad_outputs: Tensor,
    grad_cells: Tensor | None,
    gates: Tensor,
    cells: Tensor,
    cell: Tensor,
    recurrent: Tensor,
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return gates.new_empty(gates.shape), cell.new_empty(cell.shape), cell.new_empty(cell.shape)


lstm = define(
    "lstm",
    "Tensor given, Tensor hidden, Tensor cell, Tensor recurrent, bool reverse",
    ["outputs", "gates", "cells"],
    _forward,
    _empty,
)
"""([T, B, 4H] what the inputs give to the gates, [B, H] and [B, H] states at first, [4H, H] weight, the
other way round) → ([T, B, H] outputs, [T, B, 4H] gates behind their functions, [T, B, H] states of the
cell). The order of gates is PyTorch's: in, kept, new, out."""

lstm_backward = define(
    "lstm_backward",
    "Tensor grad_outputs, Tensor? grad_cells, Tensor gates, Tensor cells, Tensor cell, Tensor recurrent, "
    "bool reverse",
    ["grad_given", "grad_hidden", "grad_cell"],
    _backward,
    _empty_backward,
)
"""Gradients of what the inputs give and of the states at first. That of the weight is `product_gradient`."""


def _keep(ctx: Any, inputs: Any, output: Any) -> None:
    _, hidden, cell, recurrent, ctx.reverse = inputs
    outputs, gates, cells = output
    ctx.mark_non_differentiable(gates)
    ctx.save_for_backward(hidden, cell, recurrent, outputs, gates, cells)


def _gradients(ctx: Any, grad_outputs: Tensor | None, _: None, grad_cells: Tensor | None) -> Any:
    hidden, cell, recurrent, outputs, gates, cells = ctx.saved_tensors
    if grad_outputs is None:
        grad_outputs = torch.zeros_like(outputs)
    grad_given, grad_hidden, grad_cell = lstm_backward(
        grad_outputs, grad_cells, gates, cells, cell, recurrent, ctx.reverse
    )
    grad_recurrent = None
    if ctx.needs_input_grad[3]:
        grad_recurrent = product_gradient(grad_given, before(hidden, outputs, ctx.reverse))
    return grad_given, grad_hidden, grad_cell, grad_recurrent, None


differentiable(lstm, _keep, _gradients)
