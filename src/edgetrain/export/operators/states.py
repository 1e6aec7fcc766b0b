"""What the recurrent operators share. Sequences are [T, B, ...], states [B, H]."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def places(steps: int, reverse: bool) -> Sequence[int]:
    """The steps in their order."""
    return range(steps)[::-1] if reverse else range(steps)


def before(first: Tensor, outputs: Tensor, reverse: bool) -> Tensor:
    """[T, B, H], the state before each step, of a state at first and all that followed."""
    first = first.unsqueeze(0)
    return torch.cat([outputs[1:], first] if reverse else [first, outputs[:-1]])


def product_gradient(grad_product: Tensor, states: Tensor) -> Tensor:
    """[G, H]: the gradient of the weight that all steps multiply their states with, one product.

    Args:
        grad_product: [T, B, G], of what the products gave.
        states: [T, B, H], that were multiplied.
    """
    rows = grad_product.reshape(-1, grad_product.shape[2])
    return rows.t() @ states.reshape(-1, states.shape[2])
