"""Normalizations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


def batch_norm_training(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor,
    running_var: Tensor,
    training: bool,
    momentum: float,
    eps: float,
) -> Any:
    """Batch norm with the batch's own statistics has no out variant, and PyTorch's decomposition of it uses
    an operator the edge dialect doesn't know.

    Returns:
        output, batch mean [C], 1/std [C], new running mean [C], new running variance [C].
    """
    if not training:
        return NotImplemented
    dims = [d for d in range(x.dim()) if d != 1]
    samples = x.numel() // x.shape[1]
    mean = aten.mean.dim(x, dims, True)
    centred = x - mean
    variance = aten.mean.dim(centred * centred, dims, True)
    rstd = torch.rsqrt(variance + eps)
    out = centred * rstd
    shape = [1, -1] + [1] * (x.dim() - 2)
    if weight is not None:
        out = out * weight.reshape(shape)
    if bias is not None:
        out = out + bias.reshape(shape)
    flat_mean = mean.reshape(-1)
    # Running variance is unbiased, the one used to normalise is not.
    unbiased = variance.reshape(-1) * (samples / (samples - 1))
    new_mean = running_mean * (1 - momentum) + flat_mean * momentum
    new_var = running_var * (1 - momentum) + unbiased * momentum
    return out, flat_mean, rstd.reshape(-1), new_mean, new_var
