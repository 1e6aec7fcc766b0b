"""Bilinear upsampling as two products with matrices of weights: the runtime has no gradient for it, and
PyTorch writes it as four indexed copies of the output's size, and its gradient as four indexed sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .means import weighted_means


def upsample_bilinear2d(
    x: Tensor,
    output_size: Sequence[int] | None,
    align_corners: bool,
    scale_factors: Sequence[float] | None,
) -> Any:
    """[B, C, H, W] → [B, C, H', W']: each output is a mean of neighbours, in width, then in height."""
    factors = scale_factors or (None, None)
    sizes = output_size or [int(int(size) * f) for size, f in zip(x.shape[2:], factors, strict=True) if f]
    for dim in (3, 2):
        size, count = int(x.shape[dim]), sizes[dim - 2]
        if size != count:
            x = weighted_means(x, dim, _weights(size, count, align_corners, factors[dim - 2], x.dtype))
    return x


def _weights(size: int, count: int, align_corners: bool, factor: float | None, dtype: torch.dtype) -> Tensor:
    """[count, size]: what each input adds to each output, 1 where they meet, less by the distance."""
    places = torch.arange(count, dtype=dtype)
    if align_corners:
        places = places * ((size - 1) / (count - 1) if count > 1 else 0.0)
    else:
        places = (places + 0.5) * (1 / factor if factor else size / count) - 0.5
    distances = places.clamp(0, size - 1)[:, None] - torch.arange(size, dtype=dtype)
    return F.relu(1 - distances.abs())
