"""Average pools whose divisor varies over the image: the runtime has no gradient of any average pool, and
that of a convolution, which stands for it (`decompositions.pooling`), knows one divisor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..decompositions.padding import constant_pad_nd

Sizes = Sequence[int]


def avg_pool2d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes = (),
    padding: Sizes = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """[B, C, H, W]; others, and those with one divisor everywhere, are left alone."""
    uneven = ceil_mode or (any(padding) and not count_include_pad)
    if x.dim() != 4 or not uneven:
        return NotImplemented
    return averaged(x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool1d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes = (),
    padding: Sizes = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """[B, C, L], as an image of height 1."""
    uneven = ceil_mode or (any(padding) and not count_include_pad)
    if x.dim() != 3 or not uneven:
        return NotImplemented
    stride = stride or kernel_size
    sizes = ([1, *kernel_size], [1, *stride], [0, *padding])
    return averaged(x.unsqueeze(2), *sizes, ceil_mode, count_include_pad, None).squeeze(2)


def averaged(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> Tensor:
    """Any average pool of [B, C, H, W], as sums over windows that all lie within the image, with what is
    outside written as zeros, and how many elements each window has, which is such a sum of ones."""
    kernel, padding = _pair(kernel_size), _pair(padding)
    stride = _pair(stride) if stride else kernel
    uneven = ceil_mode or (any(padding) and not count_include_pad)
    if not uneven:
        return F.avg_pool2d(x, kernel, stride, padding, False, True, divisor)
    beyond = [_beyond(int(x.shape[2 + i]), kernel[i], stride[i], padding[i], ceil_mode) for i in (0, 1)]
    ones = torch.full((1, 1, x.shape[2], x.shape[3]), 1.0, dtype=x.dtype)

    def sums(image: Tensor, before: Sizes, after: Sizes) -> Tensor:
        image = constant_pad_nd(image, [before[1], after[1], before[0], after[0]])
        return F.avg_pool2d(image, kernel, stride, 0, False, True, 1)

    total = sums(x, padding, [padding[i] + beyond[i] for i in (0, 1)])
    if divisor is not None:
        return total / divisor
    if count_include_pad:
        ones = torch.full(
            (1, 1, x.shape[2] + 2 * padding[0], x.shape[3] + 2 * padding[1]), 1.0, dtype=x.dtype
        )
        return total / sums(ones, [0, 0], beyond)
    return total / sums(ones, padding, [padding[i] + beyond[i] for i in (0, 1)])


def _beyond(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    """How far the last window reaches behind the padded image."""
    if not ceil_mode:
        return 0
    windows = -(-(size + 2 * padding - kernel) // stride) + 1
    if (windows - 1) * stride >= size + padding:  # it has to begin within the image or before
        windows -= 1
    return max(0, (windows - 1) * stride + kernel - size - 2 * padding)


def _pair(sizes: Sizes) -> list[int]:
    sizes = list(sizes)
    return sizes * 2 if len(sizes) == 1 else sizes
