"""Convolutions over time, for signals such as accelerometer or ECG windows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class CNN1d(nn.Module):
    """Blocks of conv1d, ReLU, max-pool and dropout that each halve the length, then one linear layer."""

    def __init__(
        self,
        in_channels: int,
        length: int,
        num_classes: int,
        channels: Sequence[int] = (32, 64),
        kernel_size: int = 5,
        dropout: float = 0.25,
    ) -> None:
        """
        Args:
            in_channels: channels C of the signal.
            length: samples L per channel.
            num_classes: number of outputs K.
            channels: output channels of each block.
            kernel_size: width of the convolutions; odd, so that they keep the length.
            dropout: share of each block's outputs set to zero while training.
        Raises:
            TypeError: channels is no list.
            ValueError: the signal is too short for so many blocks, or kernel_size is even.
        """
        super().__init__()
        if isinstance(channels, (str, int)):
            raise TypeError(f"channels must be a list, as in [32, 64], not {channels!r}")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, not {kernel_size}")
        pooled = length >> len(channels)
        if pooled < 1:
            raise ValueError(f"length {length} is too short for {len(channels)} blocks that halve it")
        layers: list[nn.Module] = []
        width = in_channels
        for outputs in channels:
            layers += [nn.Conv1d(width, outputs, kernel_size, padding=kernel_size // 2), nn.ReLU()]
            layers += [nn.MaxPool1d(2), nn.Dropout(dropout)]
            width = outputs
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(width * pooled, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Args:
            x: float32 [B, C, L].
        Returns:
            logits, float32 [B, K].
        """
        return self.classifier(torch.flatten(self.features(x), 1))
