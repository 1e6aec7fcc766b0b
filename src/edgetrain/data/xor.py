"""`xor`: the four points of exclusive or, to see a training loop work in a second."""

from __future__ import annotations

import torch

from ..config.data import DataConfig
from ..reporting import Reporter
from .base import Source, TensorSplit


def read_xor(config: DataConfig, reporter: Reporter) -> Source:
    """The points as float32 [2] with the classes 0 and 1; the test split is the same four."""
    points = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    split = TensorSplit.of(points, torch.tensor([0, 1, 1, 0]))
    return Source(train=split, test=split, classes=["0", "1"])
