"""Adaptive pools to any size: the runtime has no gradients for them. Windows are products of ranges, so that
they are taken one dimension after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .means import weighted_means

aten = torch.ops.aten
Pool = Callable[[Tensor, int], Tensor]


def adaptive_avg_pool1d(x: Tensor, output_size: Sequence[int]) -> Any:
    """[B, C, L] → [B, C, L']"""
    return _averages(x, output_size)


def adaptive_avg_pool2d(x: Tensor, output_size: Sequence[int]) -> Any:
    """[B, C, H, W] → [B, C, H', W']"""
    return _averages(x, output_size)


def adaptive_avg_pool3d(x: Tensor, output_size: Sequence[int]) -> Any:
    """[B, C, D, H, W] → [B, C, D', H', W']"""
    return _averages(x, output_size)


def adaptive_max_pool1d(x: Tensor, output_size: Sequence[int]) -> Any:
    """[B, C, L] → [B, C, L'], and no indices."""
    return _largest(x, output_size)


def adaptive_max_pool2d(x: Tensor, output_size: Sequence[int]) -> Any:
    """[B, C, H, W] → [B, C, H', W'], and no indices."""
    return _largest(x, output_size)


def adaptive_max_pool3d(x: Tensor, output_size: Sequence[int]) -> Any:
    """[B, C, D, H, W] → [B, C, D', H', W'], and no indices."""
    return _largest(x, output_size)


def _averages(x: Tensor, output_size: Sequence[int]) -> Any:
    if x.dim() != 2 + len(output_size):
        return NotImplemented
    if all(size == 1 for size in output_size):
        # So does PyTorch. But where channels lie innermost, as behind a layer norm of them,
        # it lays the result out so, too, by an as_strided whose gradient has no kernel.
        return x.mean(list(range(-len(output_size), 0)), keepdim=True)
    for dim in reversed(range(2, x.dim())):
        length, count = int(x.shape[dim]), output_size[dim - 2]
        if length % count == 0:
            x = x.unflatten(dim, [count, length // count]).mean([dim + 1])
        else:
            x = weighted_means(x, dim, _weights(length, count, x.dtype))
    return x


def _weights(length: int, count: int, dtype: torch.dtype) -> Tensor:
    """[count, length]: 1 / size within each range, else 0."""
    ranges, places = torch.arange(count)[:, None], torch.arange(length)
    first, end = ranges * length // count, ((ranges + 1) * length + count - 1) // count
    inside = (first <= places) & (places < end)
    return inside.to(dtype) / (end - first)


def _largest(x: Tensor, output_size: Sequence[int]) -> Any:
    if x.dim() != 2 + len(output_size):
        return NotImplemented
    return _pooled(x, output_size, _maximum), None


def _maximum(x: Tensor, dim: int) -> Tensor:
    """The largest along a dimension, with a gradient to the first of equal ones."""
    shape = list(x.shape)
    inner = 1
    for size in shape[dim + 1 :]:
        inner *= size
    outer = 1
    for size in shape[2:dim]:
        outer *= size
    images = x.reshape(-1, shape[1] * outer, shape[dim], inner)
    largest = F.max_pool2d(images, [shape[dim], 1])
    return largest.reshape(-1, *shape[1:dim], 1, *shape[dim + 1 :])


def _pooled(x: Tensor, output_size: Sequence[int], pool: Pool) -> Tensor:
    """The innermost dimension first: so the first of equal values in the order of memory is found."""
    for dim in reversed(range(2, x.dim())):
        length, count = int(x.shape[dim]), output_size[dim - 2]
        if count == length:
            continue
        parts = [
            pool(_between(x, dim, i * length // count, -(-(i + 1) * length // count)), dim)
            for i in range(count)
        ]
        x = torch.cat(parts, dim) if len(parts) > 1 else parts[0]
    return x


def _between(x: Tensor, dim: int, first: int, end: int) -> Tensor:
    if first == 0 and end == x.shape[dim]:
        return x
    part: Tensor = aten.slice(x, dim, first, end, 1)
    return part
