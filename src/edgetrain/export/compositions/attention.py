"""Attention in products: no kernel has the gradient of PyTorch's fused ones, and what PyTorch writes out
itself scales queries and keys each, and looks for rows of nothing in every score."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """[..., H, T, D] queries, [..., H or fewer, S, D] keys and values → [..., H, T, D]."""
    if enable_gqa:
        key, value = (_for_each_query(x, query) for x in (key, value))
    scores = (query * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)) @ key.transpose(-2, -1)
    weights = _weights(scores, attn_mask, is_causal)
    return (torch.dropout(weights, dropout_p, True) if dropout_p > 0 else weights) @ value


def _for_each_query(x: Tensor, query: Tensor) -> Tensor:
    """Grouped queries: neighbouring heads of queries share one of keys and values."""
    shared = query.shape[-3] // x.shape[-3]
    return x if shared == 1 else x.unsqueeze(-3).expand(*x.shape[:-2], shared, *x.shape[-2:]).flatten(-4, -3)


def _weights(scores: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
    """The softmax of what a query may see."""
    if is_causal:
        rows, columns = (torch.arange(int(length)) for length in scores.shape[-2:])
        return torch.where(columns <= rows[:, None], scores, -math.inf).softmax(-1)
    if mask is None:
        return scores.softmax(-1)
    # Who may look nowhere sees zeros: first everything, so that no gradient is NaN, and then nothing of it.
    if mask.dtype == torch.bool:
        sees = mask.any(-1, keepdim=True)
        scores = torch.where(mask | ~sees, scores, -math.inf)
    else:
        sees = (mask > -math.inf).any(-1, keepdim=True)
        scores = scores + torch.where(sees, mask, 0.0)
    return torch.where(sees, scores.softmax(-1), 0.0)
