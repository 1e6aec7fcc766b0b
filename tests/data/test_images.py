"""Size and channels, compared with Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from edgetrain.data.images import convert_channels, resize, resize_masks

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 36, 3), dtype=np.uint8)
TENSOR = torch.from_numpy(PIXELS).permute(2, 0, 1).unsqueeze(0).contiguous()


def test_luma_is_that_of_pillow() -> None:
    expected = np.asarray(Image.fromarray(PIXELS).convert("L"))
    assert np.array_equal(convert_channels(TENSOR, 1)[0, 0].numpy(), expected)


def test_grey_is_repeated_and_matching_channels_stay() -> None:
    grey = TENSOR[:, :1]
    assert torch.equal(convert_channels(grey, 3), grey.repeat(1, 3, 1, 1))
    assert convert_channels(TENSOR, 3) is TENSOR


def test_resize_is_bilinear_and_antialiased() -> None:
    expected = np.asarray(Image.fromarray(PIXELS).resize((12, 12), Image.Resampling.BILINEAR)).astype(int)
    resized = resize(TENSOR, 12)
    assert resized.dtype == torch.uint8
    assert np.abs(resized[0].permute(1, 2, 0).numpy().astype(int) - expected).max() <= 1
    assert resize(TENSOR, 64).shape == (1, 3, 64, 64)


@pytest.mark.parametrize("size", [5, 12, 24, 48])
def test_masks_take_the_nearest_label(size: int) -> None:
    labels = PIXELS[:, :, 0]
    expected = np.asarray(Image.fromarray(labels).resize((size, size), Image.Resampling.NEAREST))
    resized = resize_masks(torch.from_numpy(labels).to(torch.int64).unsqueeze(0), size)
    assert resized.dtype == torch.int64
    assert np.array_equal(resized[0].numpy(), expected)
