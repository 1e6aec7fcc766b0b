"""Diagonals."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def diagonal_scatter(x: Tensor, source: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """No kernel; gradients of `diagonal` are made of it. The source, [..., L], is laid along the first
    of both dimensions, or for a diagonal below the main one along the second, and chosen where that is."""
    dim1, dim2 = dim1 % x.dim(), dim2 % x.dim()
    rows, columns = x.shape[dim1], x.shape[dim2]
    if not isinstance(rows, int) or not isinstance(columns, int):
        return NotImplemented
    along, across = (dim1, dim2) if offset >= 0 else (dim2, dim1)
    missing = x.shape[along] - source.shape[-1]
    if missing:
        rest = torch.full((*source.shape[:-1], missing), 0.0, dtype=x.dtype)
        source = torch.cat([source.to(x.dtype), rest], -1)
    laid = source.movedim(-1, along - (across < along)).unsqueeze(across)
    shapes = [[1] * x.dim() for _ in range(2)]
    shapes[0][dim1], shapes[1][dim2] = rows, columns
    row, column = (torch.arange(max(shape)).reshape(shape) for shape in shapes)
    return torch.where(row + offset == column, laid, x)
