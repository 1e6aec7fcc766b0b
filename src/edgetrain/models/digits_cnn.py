"""Two small convolutions for 8x8 digits and other small images; trains in seconds on a CPU."""

from __future__ import annotations

import torch
from torch import nn


class DigitsCNN(nn.Module):
    """conv 16 - pool - conv 32 - pool - linear 64 - linear classes. No batch norm, no dropout."""

    def __init__(self, in_channels: int = 1, image_size: int = 8, num_classes: int = 10) -> None:
        """
        Args:
            in_channels: channels C of the images.
            image_size: height and width S of the images, at least 4.
            num_classes: number of outputs K.
        Raises:
            ValueError: the images are too small for two 2x2 poolings.
        """
        super().__init__()
        if image_size < 4:
            raise ValueError(f"image_size must be at least 4, not {image_size}")
        pooled = image_size // 4
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 16, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Linear(32 * pooled * pooled, 64),
            nn.ReLU(),
            nn.Linear(64, num_classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Args:
            x: float32 [B, C, S, S].
        Returns:
            logits, float32 [B, K].
        """
        return self.classifier(torch.flatten(self.features(x), 1))
