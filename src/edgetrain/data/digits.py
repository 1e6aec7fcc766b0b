"""`digits`: scikit-learn's 1,797 handwritten digits of 8x8 pixels. Needs no download."""

from __future__ import annotations

import torch

from ..config.data import DataConfig
from ..reporting import Reporter
from .base import Source, TensorSplit
from .subset import hold_out

# Mean and standard deviation of all pixels in the 0..1 scale.
_USUAL = ((0.3053,), (0.3759,))
_LARGEST_STORED = 16


def read_digits(config: DataConfig, reporter: Reporter) -> Source:
    """Reads the digits as uint8 [1, 8, 8] in 0..255 and holds out a stratified test part."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = torch.from_numpy(digits.images) * (255 / _LARGEST_STORED)
    images = pixels.round().to(torch.uint8).unsqueeze(1)
    targets = torch.from_numpy(digits.target).to(torch.int64)
    every = TensorSplit.of(images, targets)
    train, test = hold_out(len(every), targets, config.test_fraction, config.seed)
    return Source(
        train=every.part(train),
        test=every.part(test),
        classes=[str(digit) for digit in range(10)],
        usual={1: _USUAL, 3: _USUAL},
        crops=True,
    )
