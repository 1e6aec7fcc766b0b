"""Low-rank adapters (LoRA, arXiv 2106.09685): a product of two small matrices beside a frozen weight."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class LoraLinear(nn.Linear):
    """y = x Wᵀ + b + alpha / rank · (x Aᵀ) Bᵀ, with the layer's own W [O, I] and b [O].

    A, `lora_a` [rank, I], starts at random, B, `lora_b` [O, rank], from zero: at first nothing changes.
    """

    def __init__(self, layer: nn.Linear, rank: int, alpha: float, generator: torch.Generator) -> None:
        """
        Args:
            generator: of the initial A, drawn as in the paper's code.
        """
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.lora_a = nn.Parameter(layer.weight.new_empty(rank, layer.in_features))
        self.lora_b = nn.Parameter(layer.weight.new_zeros(layer.out_features, rank))
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5), generator=generator)
        self.train(layer.training)

    def forward(self, x: Tensor) -> Tensor:
        low = nn.functional.linear(x, self.lora_a)
        return super().forward(x) + self.scale * nn.functional.linear(low, self.lora_b)


def merge_adapter(module: str, rank: int, alpha: float, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with the layer's adapter added into its weight."""
    merged = dict(tensors)
    a, b = (merged.pop(f"{module}.{name}", None) for name in ("lora_a", "lora_b"))
    if a is not None and b is not None:
        merged[f"{module}.weight"] = merged[f"{module}.weight"] + alpha / rank * (b @ a)
    return merged
