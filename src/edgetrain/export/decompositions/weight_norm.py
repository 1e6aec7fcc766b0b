"""The gradient of weight normalisation."""

from __future__ import annotations

import torch
from torch import Tensor


def weight_norm_backward(
    grad: Tensor, v: Tensor, g: Tensor, norms: Tensor, dim: int
) -> tuple[Tensor, Tensor]:
    """No kernel, nor a rule of PyTorch's. w = v g / |v|, with a norm for each index of a dimension, the first
    or the last.

    Returns:
        the gradients of v and g.
    """
    others = [d for d in range(v.dim()) if d != dim % v.dim()]
    direction = v / norms
    along = grad * direction
    if others:
        along = torch.sum(along, others, keepdim=True)
    return (grad - direction * along) * (g / norms), along
