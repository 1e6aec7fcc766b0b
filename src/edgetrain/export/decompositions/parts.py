"""Gradients of parts of tensors, which PyTorch writes as choices among all elements of the whole, or as a
part written to zeros."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

aten = torch.ops.aten


def select_backward(grad: Tensor, sizes: Sequence[int], dim: int, index: int) -> Tensor:
    """The gradient between zeros; [..., ...] → [..., N, ...]."""
    dim, size = dim % len(sizes), sizes[dim]
    place = index if index >= 0 else index + size
    return slice_backward(grad.unsqueeze(dim), sizes, dim, place, place + 1, 1)


def slice_backward(grad: Tensor, sizes: Sequence[int], dim: int, start: int, end: int, step: int) -> Tensor:
    """The gradient between zeros, or with longer steps among them; [..., M, ...] → [..., N, ...]."""
    dim, size = dim % len(sizes), sizes[dim]
    # How many zeros there are may not depend on the batch.
    if step != 1 or not isinstance(size, int):
        zeros = torch.full(list(sizes), 0.0, dtype=grad.dtype)
        result: Tensor = aten.slice_scatter(zeros, grad, dim, start, end, step)
        return result
    before = min(max(start + size if start < 0 else start, 0), size)
    parts = [
        torch.full((*grad.shape[:dim], count, *grad.shape[dim + 1 :]), 0.0, dtype=grad.dtype)
        for count in (before, size - before - int(grad.shape[dim]))
    ]
    whole = [part for part in (parts[0], grad, parts[1]) if part is grad or part.shape[dim]]
    return torch.cat(whole, dim) if len(whole) > 1 else grad.clone()
