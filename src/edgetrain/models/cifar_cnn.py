"""Three convolutions and a wide hidden layer, for 32x32 colour images (CIFAR-10)."""

from __future__ import annotations

import torch
from torch import nn


class CifarCNN(nn.Module):
    """`features`: three blocks of conv3x3, ReLU, max-pool; `classifier`: two linear layers with dropout."""

    def __init__(
        self, in_channels: int = 3, image_size: int = 32, num_classes: int = 10, dropout: float = 0.5
    ) -> None:
        """
        Args:
            in_channels: channels C of the images.
            image_size: height and width S of the images, at least 8.
            num_classes: number of outputs K.
            dropout: share of the 512 hidden values set to zero while training.
        Raises:
            ValueError: the images are too small for three 2x2 poolings, or dropout is not in 0..1.
        """
        super().__init__()
        if image_size < 8:
            raise ValueError(f"image_size must be at least 8, not {image_size}")
        pooled = image_size // 8
        self.features = nn.Sequential(*_block(in_channels, 32), *_block(32, 64), *_block(64, 128))
        self.classifier = nn.Sequential(
            nn.Linear(128 * pooled * pooled, 512),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(512, num_classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Args:
            x: float32 [B, C, S, S].
        Returns:
            logits, float32 [B, K].
        """
        return self.classifier(torch.flatten(self.features(x), 1))


def _block(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
