"""Convolutions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


def convolution_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: list[int] | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
    output_mask: list[bool],
) -> Any:
    """The runtime's kernel refuses 1-D convolutions; a 2-D one over images of height 1 is the same. It also
    refuses transposed ones, of which the other direction is an ordinary convolution."""
    if transposed and x.dim() in (3, 4):
        return _transposed_backward(grad, x, weight, stride, padding, dilation, groups, output_mask)
    if x.dim() != 3:
        return NotImplemented
    grads = aten.convolution_backward(
        grad.unsqueeze(2),
        x.unsqueeze(2),
        weight.unsqueeze(2),
        bias_sizes,
        [1, *stride],
        [0, *padding],
        [1, *dilation],
        transposed,
        [0, *output_padding],
        groups,
        output_mask,
    )
    return tuple(g.squeeze(2) if g is not None and i < 2 else g for i, g in enumerate(grads))


def _transposed_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    output_mask: list[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The convolution by whose transpose y came from x takes grad to the gradient of x; and the gradient of
    its weight, for an input of grad and a gradient of x, is that of ours."""
    plain = (stride, padding, dilation, False, [0] * len(stride), groups)
    grad_x = aten.convolution(grad, weight, None, *plain) if output_mask[0] else None
    grad_weight = None
    if output_mask[1]:
        grad_weight = aten.convolution_backward(x, grad, weight, None, *plain, [False, True, False])[1]
    grad_bias = grad.sum([0, *range(2, grad.dim())]) if output_mask[2] else None
    return grad_x, grad_weight, grad_bias
