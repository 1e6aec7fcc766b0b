"""Attention in products: without dropout PyTorch takes a fused kernel, and no kernel has its gradient."""

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
    """[..., T, D] queries, [..., S, D] keys and values → [..., T, D]. With dropout PyTorch does so itself."""
    if dropout_p > 0 or enable_gqa:
        return NotImplemented
    scores = (query * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)) @ key.transpose(-2, -1)
    if is_causal:
        rows, columns = (torch.arange(int(x.shape[-2])) for x in (query, key))
        return torch.where(columns <= rows[:, None], scores, -math.inf).softmax(-1) @ value
    if attn_mask is None:
        return scores.softmax(-1) @ value
    # Who may look nowhere sees zeros: first everything, so that no gradient is NaN, and then nothing of it.
    if attn_mask.dtype == torch.bool:
        sees = attn_mask.any(-1, keepdim=True)
        scores = torch.where(attn_mask | ~sees, scores, -math.inf)
    else:
        sees = (attn_mask > -math.inf).any(-1, keepdim=True)
        scores = scores + torch.where(sees, attn_mask, 0.0)
    return torch.where(sees, scores.softmax(-1), 0.0) @ value
