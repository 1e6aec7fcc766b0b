"""Attention as the operators it stands for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from edgetrain.models.transforms.graphs.attention import attention


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"is_causal": True},
        {"scale": 0.3},
        {"attn_mask": torch.tensor([[True, True, False, True, True]])},
        {"attn_mask": torch.linspace(-1, 1, 5).reshape(1, 5)},
    ],
    ids=["plain", "causal", "scale", "mask", "bias"],
)
def test_attention(settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 2, 3, 4), torch.randn(2, 2, 5, 4), torch.randn(2, 2, 5, 6)
    expected = scaled_dot_product_attention(query, key, value, **settings)
    torch.testing.assert_close(attention(query, key, value, **settings), expected)


def test_grouped_queries() -> None:
    query, key = torch.randn(2, 4, 3, 4), torch.randn(2, 2, 5, 4)
    expected = scaled_dot_product_attention(query, key, key, enable_gqa=True)
    torch.testing.assert_close(attention(query, key, key, enable_gqa=True), expected)
