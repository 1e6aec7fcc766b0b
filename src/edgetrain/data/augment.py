"""Random mirroring and moving of training images, and of the masks that go with them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Augmentation:
    """What training does to its images.

    Attributes:
        flip: mirror half of the images horizontally.
        crop_padding: move each image by up to this many pixels in both directions.
        images: names of the inputs that are images; what comes in at their borders is 0.
        masks: targets that go with them, by name; what comes in there is this label.
    """

    flip: bool = False
    crop_padding: int = 0
    images: tuple[str, ...] = ()
    masks: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.flip or self.crop_padding > 0

    def ignoring(self, label: int | None) -> Augmentation:
        """The same, but what comes into masks is the label that a task ignores, if it has one."""
        return self if label is None else replace(self, masks=dict.fromkeys(self.masks, label))


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


def move_images(images: Tensor, padding: int, draw: AugmentationDraw, fill: int = 0) -> Tensor:
    """Crops and mirrors each image as drawn.

    Args:
        images: [B, ..., H, W], any dtype.
        padding: by how much images may be moved; `fill` comes in.
    Returns:
        new tensor of the same shape and dtype.
    """
    height, width = images.shape[-2:]
    padded = functional.pad(images, [padding] * 4, value=fill)
    cropped = torch.empty_like(images)
    for i, (row, column) in enumerate(draw.offsets.tolist()):
        cropped[i] = padded[i, ..., row : row + height, column : column + width]
    mirrored = draw.mirrored.view(-1, *[1] * (images.dim() - 1))
    return torch.where(mirrored, cropped.flip(-1), cropped)
