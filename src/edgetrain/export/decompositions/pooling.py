"""Pools."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


def max_pool2d_backward(
    grad: Tensor,
    x: Tensor,
    kernel_size: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    ceil_mode: bool,
    indices: Tensor,
) -> Tensor:
    """The runtime's kernel adds into memory it never cleared (upstream issue 21686), so that every gradient
    before a max-pool is garbage. A scatter_add on zeros is the same sum. Only the shape of x is needed: its
    values needn't be kept."""
    zeros = torch.full((*x.shape[:-2], x.shape[-2] * x.shape[-1]), 0.0, dtype=x.dtype)
    return aten.scatter_add(zeros, -1, indices.flatten(-2), grad.flatten(-2)).reshape(x.shape)


def avg_pool2d_backward(
    grad: Tensor,
    x: Tensor,
    kernel_size: list[int],
    stride: list[int],
    padding: list[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    """The runtime has no such kernel. Average pooling is a depthwise convolution with equal weights, and that
    one's gradient it has. Pools whose divisor varies over the image are left alone (and then refused)."""
    if x.dim() != 4 or ceil_mode or (any(padding) and not count_include_pad):
        return NotImplemented
    height, width = kernel_size if len(kernel_size) == 2 else kernel_size * 2
    channels = x.shape[1]
    divisor = divisor_override or height * width
    weight = torch.full((channels, 1, height, width), 1.0 / divisor, dtype=x.dtype)
    return aten.convolution_backward(
        grad,
        x,
        weight,
        None,
        stride if len(stride) else [height, width],
        padding,
        [1, 1],
        False,
        [0, 0],
        channels,
        [True, False, False],
    )[0]
