"""Random mirroring and moving of training images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Augmentation:
    """What training does to its images.

    Attributes:
        flip: mirror half of the images horizontally.
        crop_padding: move each image by up to this many pixels in both directions; what comes in is 0.
    """

    flip: bool = False
    crop_padding: int = 0

    def __bool__(self) -> bool:
        return self.flip or self.crop_padding > 0


@dataclass(frozen=True)
class AugmentationDraw:
    """The random choices for one batch.

    Attributes:
        mirrored: bool [B].
        offsets: int64 [B, 2], where the crop starts in the padded image (row, column).
    """

    mirrored: Tensor
    offsets: Tensor

    def part(self, start: int, stop: int) -> AugmentationDraw:
        """The choices for samples `start` to `stop`."""
        return AugmentationDraw(self.mirrored[start:stop], self.offsets[start:stop])


def draw_augmentation(
    augmentation: Augmentation, batch_size: int, generator: torch.Generator
) -> AugmentationDraw:
    """Draws the choices for a batch; only `generator` is used."""
    mirrored = torch.randint(0, 2, (batch_size,), generator=generator).bool()
    offsets = torch.randint(0, 2 * augmentation.crop_padding + 1, (batch_size, 2), generator=generator)
    return AugmentationDraw(mirrored & augmentation.flip, offsets)


def augment_images(images: Tensor, augmentation: Augmentation, draw: AugmentationDraw) -> Tensor:
    """Crops and mirrors each image as drawn.

    Args:
        images: [B, C, H, W], any dtype.
    Returns:
        new tensor of the same shape and dtype.
    """
    height, width = images.shape[-2:]
    padded = functional.pad(images, [augmentation.crop_padding] * 4)
    cropped = torch.empty_like(images)
    for i, (row, column) in enumerate(draw.offsets.tolist()):
        cropped[i] = padded[i, :, row : row + height, column : column + width]
    return torch.where(draw.mirrored[:, None, None, None], cropped.flip(3), cropped)
