"""The smallest network that learns exclusive or."""

from __future__ import annotations

import torch
from torch import nn


class XorMLP(nn.Module):
    """Linear, sigmoid, linear."""

    def __init__(self, in_features: int = 2, num_classes: int = 2, hidden: int = 10) -> None:
        """
        Args:
            in_features: numbers D per sample.
            num_classes: number of outputs K.
            hidden: sigmoid units.
        """
        super().__init__()
        self.hidden = nn.Linear(in_features, hidden)
        self.output = nn.Linear(hidden, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Args:
            x: float32 [B, D].
        Returns:
            logits, float32 [B, K].
        """
        return self.output(torch.sigmoid(self.hidden(x)))
