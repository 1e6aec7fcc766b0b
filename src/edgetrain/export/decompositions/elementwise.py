"""Elementwise operators, and what makes tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def silu_backward(grad: Tensor, x: Tensor) -> Tensor:
    """PyTorch's own form begins with `empty_permuted`, which has no kernel."""
    sigmoid = torch.sigmoid(x)
    return grad * sigmoid * (1 + x * (1 - sigmoid))


def empty_permuted(size: list[int], physical_layout: list[int], dtype: Any = None, **_: Any) -> Tensor:
    """No kernel; what is in an empty tensor doesn't matter, so zeros will do."""
    return torch.full(size, 0.0, dtype=dtype)


def new_empty_strided(x: Tensor, size: list[int], stride: list[int], dtype: Any = None, **_: Any) -> Tensor:
    """As `empty_permuted`; gradients of what was written through a view begin with it."""
    return torch.full(size, 0.0, dtype=dtype or x.dtype)
