"""Size and channels of images, uint8 [B, C, H, W]; size of their masks, int64 or uint8 [B, H, W]."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# ITU-R 601 luma in 16-bit fixed point: the weights Pillow's grey conversion uses.
_LUMA = (19595, 38470, 7471)


def convert_channels(images: Tensor, channels: int) -> Tensor:
    """Repeats a grey channel, or turns colours into their luma; same bytes as Pillow's conversion."""
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1).contiguous()
    red, green, blue = images.to(torch.int32).split(1, dim=1)
    luma = red * _LUMA[0] + green * _LUMA[1] + blue * _LUMA[2]
    return ((luma + 0x8000) >> 16).to(torch.uint8)


def resize(images: Tensor, size: int) -> Tensor:
    """Resizes to `size` x `size` pixels, bilinear and antialiased."""
    if images.shape[-2:] == (size, size):
        return images
    return functional.interpolate(
        images, size=(size, size), mode="bilinear", antialias=True, align_corners=False
    )


def resize_masks(masks: Tensor, size: int) -> Tensor:
    """Resizes to `size` x `size` pixels; each gets the label of the pixel nearest to its middle."""
    height, width = masks.shape[-2:]
    if (height, width) == (size, size):
        return masks
    middles = 2 * torch.arange(size) + 1
    return masks[..., (middles * height // (2 * size)).unsqueeze(1), middles * width // (2 * size)]
