"""Bilinear upsampling as two products with matrices of weights: the runtime has no gradient for it, and
PyTorch writes it as four indexed copies of the output's size, and its gradient as four indexed sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def upsample_bilinear2d(
    x: Tensor,
    output_size: Sequence[int] | None,
    align_corners: bool,
    scale_factors: Sequence[float] | None,
) -> Any:
    """[B, C, H, W] → [B, C, H', W']: each output is a mean of neighbours, in width, then in height."""
    height, width = int(x.shape[2]), int(x.shape[3])
    factors = scale_factors or (None, None)
    sizes = output_size or [int(size * f) for size, f in zip((height, width), factors, strict=True) if f]
    if width == 1:
        x = x.expand(-1, -1, -1, sizes[1])
    elif width != sizes[1]:
        x = x @ _weights(width, sizes[1], align_corners, factors[1], x.dtype).T
    if height == 1:
        return x.expand(-1, -1, sizes[0], -1)
    if height == sizes[0]:
        return x
    # Rows are what a 1x1 convolution takes for channels.
    rows = _weights(height, sizes[0], align_corners, factors[0], x.dtype)[:, :, None, None]
    return F.conv2d(x.reshape(-1, height, 1, sizes[1]), rows).reshape(-1, x.shape[1], *sizes)


def _weights(size: int, count: int, align_corners: bool, factor: float | None, dtype: torch.dtype) -> Tensor:
    """[count, size]: what each input adds to each output, 1 where they meet, less by the distance."""
    places = torch.arange(count, dtype=dtype)
    if align_corners:
        places = places * ((size - 1) / (count - 1) if count > 1 else 0.0)
    else:
        places = (places + 0.5) * (1 / factor if factor else size / count) - 0.5
    distances = places.clamp(0, size - 1)[:, None] - torch.arange(size, dtype=dtype)
    return F.relu(1 - distances.abs())
