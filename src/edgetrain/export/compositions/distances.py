"""Distances, which have no kernels, as norms of differences."""

from __future__ import annotations

import torch
from torch import Tensor


def dist(x: Tensor, y: Tensor, p: float = 2.0) -> Tensor:
    return torch.linalg.vector_norm(x - y, p)


def cdist(x: Tensor, y: Tensor, p: float = 2.0, compute_mode: int | None = None) -> Tensor:
    """[..., N, D], [..., M, D] → [..., N, M]."""
    return torch.linalg.vector_norm(x.unsqueeze(-2) - y.unsqueeze(-3), p, -1)
