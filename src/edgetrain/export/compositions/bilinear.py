"""Bilinear layers, whose operator has no kernel, as a product and a sum."""

from __future__ import annotations

from torch import Tensor


def bilinear(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """[..., I], [..., J], [O, I, J], [O] → [..., O]."""
    outputs, first, second = weight.shape
    weighted = x @ weight.permute(1, 0, 2).reshape(first, outputs * second)
    result = (weighted.unflatten(-1, (outputs, second)) * y.unsqueeze(-2)).sum(-1)
    return result if bias is None else result + bias
