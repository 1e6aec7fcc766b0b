"""Convolutions and pools over three dimensions, by those over two: the runtime has no kernels for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..decompositions.padding import constant_pad_nd
from .average_pools import averaged

aten = torch.ops.aten
Sizes = Sequence[int]


def conv3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = (1,),
    padding: Sizes | str = (0,),
    dilation: Sizes = (1,),
    groups: int = 1,
) -> Any:
    """[B, C, D, H, W] → [B, O, D', H', W']: a slice of the output is a 2-D convolution of the slices that
    the kernel sees, taken as further channels. They lie beside their channel, so that groups stay groups."""
    if x.dim() != 5:
        return NotImplemented
    stride, dilation = triple(stride), triple(dilation)
    kernel = [int(size) for size in weight.shape[2:]]
    if isinstance(padding, str):
        total = [dilation[i] * (kernel[i] - 1) if padding == "same" else 0 for i in range(3)]
        sides = [(size // 2, size - size // 2) for size in total]
    else:
        sides = [(size, size) for size in triple(padding)]
    plane = [sides[1][0], sides[2][0]]
    uneven = [sides[2][1] - plane[1], sides[1][1] - plane[0]]
    x = constant_pad_nd(x, [0, uneven[0], 0, uneven[1], *sides[0]])
    channels, depth = x.shape[1], (x.shape[2] - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1
    taps = [_every(x, k * dilation[0], stride[0], depth) for k in range(kernel[0])]
    seen = torch.stack(taps, 2).permute(0, 3, 1, 2, 4, 5)
    images = seen.reshape(-1, channels * kernel[0], *x.shape[3:])
    flat = weight.reshape(weight.shape[0], -1, *kernel[1:])
    y = F.conv2d(images, flat, bias, stride[1:], plane, dilation[1:], groups)
    return y.reshape(-1, depth, *y.shape[1:]).permute(0, 2, 1, 3, 4)


def conv_transpose3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = (1,),
    padding: Sizes = (0,),
    output_padding: Sizes = (0,),
    groups: int = 1,
    dilation: Sizes = (1,),
) -> Any:
    """[B, C, D, H, W] → [B, O, D', H', W']: what each slice of the input spreads over the plane for each
    slice of the kernel, added up where these meet in depth."""
    if x.dim() != 5:
        return NotImplemented
    stride, padding, dilation, extra = (triple(v) for v in (stride, padding, dilation, output_padding))
    depth, kernel = int(x.shape[2]), [int(size) for size in weight.shape[2:]]
    images = x.permute(0, 2, 1, 3, 4).reshape(-1, x.shape[1], *x.shape[3:])
    flat = weight.reshape(weight.shape[0], -1, *kernel[1:])
    spread = F.conv_transpose2d(images, flat, None, stride[1:], padding[1:], extra[1:], groups, dilation[1:])
    plane = spread.shape[2:]
    parts = spread.reshape(-1, depth, spread.shape[1] // kernel[0], kernel[0], *plane)
    total = None
    for k in range(kernel[0]):
        part = _spaced(parts.select(3, k).permute(0, 2, 1, 3, 4), stride[0])
        after = (kernel[0] - 1 - k) * dilation[0] + extra[0]
        part = constant_pad_nd(part, [0, 0, 0, 0, k * dilation[0], after])
        total = part if total is None else total + part
    assert total is not None
    if padding[0]:
        total = aten.slice(total, 2, padding[0], int(total.shape[2]) - padding[0])
    return total if bias is None else total + bias.reshape(1, -1, 1, 1, 1)


def max_pool3d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes = (),
    padding: Sizes = (0,),
    dilation: Sizes = (1,),
    ceil_mode: bool = False,
) -> Any:
    """The largest of the plane, then of the depth. Of equal ones both take the first, as the whole does."""
    if x.dim() != 5:
        return NotImplemented
    kernel = triple(kernel_size)
    stride, padding, dilation = triple(stride or kernel), triple(padding), triple(dilation)

    def pool(images: Tensor, over: slice) -> Tensor:
        size, step, pad = _both(kernel[over], 1), _both(stride[over], 1), _both(padding[over], 0)
        return F.max_pool2d(images, size, step, pad, _both(dilation[over], 1), ceil_mode)

    return _planes_then_depth(x, pool)


def avg_pool3d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes = (),
    padding: Sizes = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of the plane, then of the depth: the number of elements is a product, at borders too."""
    if x.dim() != 5:
        return NotImplemented
    kernel = triple(kernel_size)
    stride, padding = triple(stride or kernel), triple(padding)
    divisor = None if divisor_override is None else 1

    def pool(images: Tensor, over: slice) -> Tensor:
        size, step, pad = _both(kernel[over], 1), _both(stride[over], 1), _both(padding[over], 0)
        return averaged(images, size, step, pad, ceil_mode, count_include_pad, divisor)

    y = _planes_then_depth(x, pool)
    return y if divisor_override is None else y / divisor_override


def _planes_then_depth(x: Tensor, pool: Any) -> Tensor:
    """A pool of each slice, [.., H, W], then one over [.., D, H' * W'] in D alone."""
    channels, depth = x.shape[1], x.shape[2]
    planes = pool(x.reshape(-1, channels * depth, *x.shape[3:]), slice(1, 3))
    height, width = planes.shape[2:]
    y = pool(planes.reshape(-1, channels, depth, height * width), slice(0, 1))
    return y.reshape(-1, channels, y.shape[2], height, width)


def _both(sizes: list[int], missing: int) -> list[int]:
    return [*sizes, missing][:2]


def triple(sizes: Sizes | int) -> list[int]:
    """A setting for each dimension, of one for all or for each."""
    sizes = [sizes] if isinstance(sizes, int) else list(sizes)
    return sizes * 3 if len(sizes) == 1 else sizes


def _every(x: Tensor, first: int, step: int, count: int) -> Tensor:
    if first == 0 and step == 1 and x.shape[2] == count:
        return x
    sliced: Tensor = aten.slice(x, 2, first, first + (count - 1) * step + 1, step)
    return sliced


def _spaced(x: Tensor, step: int) -> Tensor:
    """Puts step - 1 zeros after every slice but the last."""
    if step == 1:
        return x
    depth = int(x.shape[2])
    zeros = torch.full((*x.shape[:3], step - 1, *x.shape[3:]), 0.0, dtype=x.dtype)
    wide = torch.cat([x.unsqueeze(3), zeros], 3).reshape(-1, x.shape[1], depth * step, *x.shape[3:])
    return _every(wide, 0, 1, depth * step - step + 1)
