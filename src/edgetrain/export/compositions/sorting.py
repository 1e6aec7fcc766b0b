"""What sorts, as the largest or smallest elements in their order: the runtime has `topk` and nothing else."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def sort(x: Tensor, dim: int = -1, descending: bool = False) -> Any:
    """Which of equal elements comes first is as open as PyTorch leaves it."""
    length = x.shape[dim] if x.dim() else None
    if not isinstance(length, int):
        return NotImplemented
    return torch.topk(x, length, dim, largest=descending)


def argsort(x: Tensor, dim: int = -1, descending: bool = False) -> Any:
    found = sort(x, dim, descending)
    return found if found is NotImplemented else found[1]


def kthvalue(x: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The k-th smallest element, and its place."""
    length = x.shape[dim] if x.dim() else None
    if not isinstance(length, int):
        return NotImplemented
    # From the end that is nearer.
    largest = 2 * k > length
    values, places = torch.topk(x, length - k + 1 if largest else k, dim, largest=largest)
    found = (values.narrow(dim, -1, 1), places.narrow(dim, -1, 1))
    return found if keepdim else tuple(part.squeeze(dim) for part in found)


def median(x: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """Of an even number of elements, the lower one in the middle."""
    length = x.shape[dim] if x.dim() else None
    if not isinstance(length, int):
        return NotImplemented
    return kthvalue(x, (length + 1) // 2, dim, keepdim)
