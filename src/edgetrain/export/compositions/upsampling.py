"""Upsampling: the runtime has few forwards of it and no gradient, and PyTorch writes both as indexed copies
and sums of the output's size. Each output is a weighted mean along one dimension after the other: a product
with a matrix of weights, or an expanded view, where neighbours are the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .means import weighted_means

aten = torch.ops.aten
Sizes = Sequence[int] | None
Factors = Sequence[float] | None
# (size, count, factor or None, type) → [count, size]: what each input adds to each output
Weights = Callable[[int, int, float | None, torch.dtype], Tensor]


def upsample_nearest(x: Tensor, output_size: Sizes, scale_factors: Factors, *, exact: bool = False) -> Any:
    """[B, C, ...] → [B, C, ...] in one, two or three dimensions; `exact` looks for the nearest centre."""
    sizes, factors = _sizes(x, output_size, scale_factors, whole=() if exact else (1, 2))
    given = [int(size) for size in x.shape[2:]]
    places = [_nearest(*each, exact) for each in zip(given, sizes, factors, strict=True)]
    repeats = [max(count // size, 1) for size, count in zip(given, sizes, strict=True)]
    repeated = [
        [place for place in range(size) for _ in range(repeat)]
        for size, repeat in zip(given, repeats, strict=True)
    ]
    if places == repeated:
        # [B, C, H, 1, W, 1] → [B, C, H, r, W, r]
        for dim in reversed(range(2, x.dim())):
            x = x.unsqueeze(dim + 1)
        shape = [size for pair in zip(given, repeats, strict=True) for size in pair]
        return x.expand(-1, -1, *shape).reshape(-1, x.shape[1], *sizes)

    def weights(size: int, count: int, factor: float | None, dtype: torch.dtype) -> Tensor:
        ratio, middle = _ratio(size, count, factor), 0.5 if exact else 0.0
        found = ((torch.arange(count, dtype=torch.float32) + middle) * ratio).floor().clamp(max=size - 1)
        return (found[:, None] == torch.arange(size, dtype=torch.float32)).to(dtype)

    return _resized(x, sizes, factors, weights)


def upsample_linear(x: Tensor, output_size: Sizes, align_corners: bool, scale_factors: Factors) -> Any:
    """[B, C, ...] → [B, C, ...] in one, two or three dimensions."""

    def weights(size: int, count: int, factor: float | None, dtype: torch.dtype) -> Tensor:
        places = _places(size, count, factor, align_corners, dtype).clamp(0, size - 1)
        # 1 where they meet, less by the distance
        return F.relu(1 - (places[:, None] - torch.arange(size, dtype=dtype)).abs())

    return _resized(x, *_sizes(x, output_size, scale_factors, whole=(1,)), weights)


def upsample_bicubic(x: Tensor, output_size: Sizes, align_corners: bool, scale_factors: Factors) -> Any:
    """[B, C, H, W] → [B, C, H', W'] of four neighbours in each dimension; what lies outside is the border."""

    def weights(size: int, count: int, factor: float | None, dtype: torch.dtype) -> Tensor:
        places = _places(size, count, factor, align_corners, dtype)
        first = places.floor()
        total = torch.zeros(count, size, dtype=dtype)
        for tap in (-1, 0, 1, 2):
            neighbour = (first + tap).clamp(0, size - 1)
            share = _cubic((places - first - tap).abs())[:, None]
            total = total + torch.where(neighbour[:, None] == torch.arange(size, dtype=dtype), share, 0.0)
        return total

    return _resized(x, *_sizes(x, output_size, scale_factors), weights)


def _resized(x: Tensor, sizes: list[int], factors: Sequence[float | None], weights: Weights) -> Tensor:
    """The innermost dimension first."""
    for dim in reversed(range(2, x.dim())):
        size, count, factor = int(x.shape[dim]), sizes[dim - 2], factors[dim - 2]
        if size != count or factor not in (None, 1.0):
            x = weighted_means(x, dim, weights(size, count, factor, x.dtype))
    return x


def _sizes(
    x: Tensor, output_size: Sizes, scale_factors: Factors, whole: Sequence[int] = ()
) -> tuple[list[int], Sequence[float | None]]:
    """Of the outputs, and the factors that say where these lie.

    Args:
        whole: times as many outputs are not looked for by a factor, which may be given as a little more.
    """
    given = [int(size) for size in x.shape[2:]]
    factors: Sequence[float | None] = scale_factors or [None] * len(given)
    sizes = output_size or [int(size * (f or 1)) for size, f in zip(given, factors, strict=True)]
    exact = [count in [times * size for times in whole] for size, count in zip(given, sizes, strict=True)]
    return list(sizes), [None if same else f for same, f in zip(exact, factors, strict=True)]


def _ratio(size: int, count: int, factor: float | None) -> float:
    """Inputs per output."""
    return 1 / factor if factor else size / count


def _nearest(size: int, count: int, factor: float | None, exact: bool) -> list[int]:
    """Which input each output is, by the arithmetic of PyTorch, which is float32."""
    places = np.arange(count, dtype=np.float32) + np.float32(0.5 if exact else 0)
    found = np.floor(places * np.float32(_ratio(size, count, factor)))
    return [int(place) for place in np.minimum(found, size - 1)]


def _places(size: int, count: int, factor: float | None, align_corners: bool, dtype: torch.dtype) -> Tensor:
    """[count]: where outputs lie among the inputs."""
    places = torch.arange(count, dtype=dtype)
    if align_corners:
        return places * ((size - 1) / (count - 1) if count > 1 else 0.0)
    return (places + 0.5) * _ratio(size, count, factor) - 0.5


def _cubic(distance: Tensor, a: float = -0.75) -> Tensor:
    """The share of a neighbour at most 2 away; `a` is PyTorch's."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return torch.where(distance <= 1, near, far)


UPSAMPLING: dict[Any, Callable[..., Any]] = {
    aten.upsample_nearest1d.vec: upsample_nearest,
    aten.upsample_nearest2d.vec: upsample_nearest,
    aten.upsample_nearest3d.vec: upsample_nearest,
    aten._upsample_nearest_exact1d.vec: partial(upsample_nearest, exact=True),
    aten._upsample_nearest_exact2d.vec: partial(upsample_nearest, exact=True),
    aten._upsample_nearest_exact3d.vec: partial(upsample_nearest, exact=True),
    aten.upsample_linear1d.vec: upsample_linear,
    aten.upsample_bilinear2d.vec: upsample_linear,
    aten.upsample_trilinear3d.vec: upsample_linear,
    aten.upsample_bicubic2d.vec: upsample_bicubic,
}
