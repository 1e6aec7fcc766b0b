"""A multilayer perceptron over flattened samples of any shape."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class MLP(nn.Module):
    """Linear layers with ReLU and optional dropout between them."""

    def __init__(
        self, in_features: int, num_classes: int, hidden: Sequence[int] = (512, 512), dropout: float = 0.0
    ) -> None:
        """
        Args:
            in_features: numbers D per flattened sample.
            num_classes: number of outputs K.
            hidden: width of each hidden layer; empty for a linear model.
            dropout: share of each hidden layer's values set to zero while training.
        Raises:
            TypeError: hidden is no list of widths.
        """
        super().__init__()
        if isinstance(hidden, (str, int)):
            raise TypeError(f"hidden must be a list of widths, as in [512, 512], not {hidden!r}")
        layers: list[nn.Module] = []
        width = in_features
        for units in hidden:
            layers += [nn.Linear(width, units), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = units
        self.layers = nn.Sequential(*layers, nn.Linear(width, num_classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Args:
            x: float32 [B, ...] with D numbers per sample.
        Returns:
            logits, float32 [B, K].
        """
        return self.layers(torch.flatten(x, 1))
