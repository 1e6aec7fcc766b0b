"""Weighted means along a dimension, as a product whose gradient is a product as well."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def weighted_means(x: Tensor, dim: int, weights: Tensor) -> Tensor:
    """[B, ..., N, ...] → [B, ..., M, ...]

    Args:
        dim: counted from the front, not the batch.
        weights: [M, N], constants of x's type; each row sums to 1.
    """
    count, length = (int(size) for size in weights.shape)
    if length == 1:
        return x.expand(*(count if d == dim else -1 for d in range(x.dim())))
    if dim == x.dim() - 1:
        return x @ weights.T
    inner = 1
    for size in x.shape[dim + 1 :]:
        inner *= size
    # What lies further out are images, and rows are what a 1x1 convolution takes for channels.
    means = F.conv2d(x.reshape(-1, length, 1, inner), weights[:, :, None, None])
    return means.reshape(-1, *x.shape[1:dim], count, *x.shape[dim + 1 :])
