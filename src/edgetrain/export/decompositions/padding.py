"""Padding."""

from __future__ import annotations

import torch
from torch import Tensor

aten = torch.ops.aten


def constant_pad_nd(x: Tensor, pad: list[int], value: float = 0) -> Tensor:
    """PyTorch's own kernel needs all sizes as numbers, and a dynamic batch is none. Negative padding cuts."""
    for i in range(len(pad) // 2):
        dim, before, after = x.dim() - 1 - i, pad[2 * i], pad[2 * i + 1]
        if before < 0 or after < 0:
            x = aten.slice(x, dim, max(-before, 0), x.shape[dim] - max(-after, 0), 1)
        sides = [
            torch.full((*x.shape[:dim], size, *x.shape[dim + 1 :]), value, dtype=x.dtype)
            for size in (max(before, 0), max(after, 0))
        ]
        parts = [part for part in (sides[0], x, sides[1]) if part is x or part.shape[dim]]
        x = torch.cat(parts, dim) if len(parts) > 1 else x
    return x
