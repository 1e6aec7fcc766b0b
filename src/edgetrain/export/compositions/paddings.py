"""Padding with numbers of the image itself, as copies of these.

What is padded with its edges has a gradient without a kernel. What goes round is written by PyTorch part by
part into a tensor, from which lowering concludes that batches have to be smaller than the largest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def pad(x: Tensor, widths: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """The last dimension's widths come first, before and after it; negative ones crop. Other modes are left
    alone."""
    if mode not in ("replicate", "circular"):
        return NotImplemented
    round_ = mode == "circular"
    for i in range(len(widths) // 2):
        dim, (before, after) = x.dim() - 1 - i, widths[2 * i : 2 * i + 2]
        size = int(x.shape[dim])
        if before < 0 or after < 0:
            size -= max(-before, 0) + max(-after, 0)
            x = x.narrow(dim, max(-before, 0), size)
        parts = [x]
        if before > 0:
            parts.insert(0, x.narrow(dim, size - before, before) if round_ else _edge(x, dim, 0, before))
        if after > 0:
            parts.append(x.narrow(dim, 0, after) if round_ else _edge(x, dim, size - 1, after))
        x = torch.cat(parts, dim) if len(parts) > 1 else x
    return x


def _edge(x: Tensor, dim: int, place: int, count: int) -> Tensor:
    lengths = [-1] * x.dim()
    lengths[dim] = count
    return x.narrow(dim, place, 1).expand(lengths)
