"""Attention in products: values and gradients in float64, against PyTorch's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as pytorch

from edgetrain.export.compositions.attention import scaled_dot_product_attention

BLIND = torch.rand(5, 6, generator=torch.Generator().manual_seed(0)) < 0.5
BLIND[2] = False  # this one may look nowhere
NUMBERS = torch.randn(2, 1, 5, 6, dtype=torch.float64)
MASKS = {
    "none": None,
    "flags": BLIND,
    "numbers": NUMBERS,
    "infinities": NUMBERS.masked_fill(~BLIND, -torch.inf),
}


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(("scale", "heads"), [(None, 6), (0.3, 6), (None, 2), (0.3, 1)])
@pytest.mark.parametrize("mask", [*MASKS, "causal"])
def test_attention(mask: str, scale: float | None, heads: int, dropout: float) -> None:
    torch.manual_seed(0)
    given = [
        torch.randn(2, h, n, 8, dtype=torch.float64, requires_grad=True)
        for h, n in ((6, 5), (heads, 6), (heads, 6))
    ]
    settings = {"scale": scale, "is_causal": mask == "causal", "dropout_p": dropout, "enable_gqa": heads < 6}
    results: list[tuple[Tensor, ...]] = []
    for function in (pytorch, scaled_dot_product_attention):
        torch.manual_seed(1)  # the same elements are dropped
        y = function(*given, attn_mask=MASKS.get(mask), **settings)
        results.append((y, *torch.autograd.grad(y, given, torch.ones_like(y).cumsum(-1))))
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)
