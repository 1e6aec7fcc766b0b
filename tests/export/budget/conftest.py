"""A small model whose layers differ in size, and samples that tell its classes apart."""

from __future__ import annotations

import itertools

import export_models as models
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgetrain.export.batches import Batch
from edgetrain.export.pipeline import Subject


@pytest.fixture
def subject() -> Subject:
    """[B, 6] → [B, 4], through layers of 24, 48, 8 and 4."""
    torch.manual_seed(0)
    sizes = (6, 24, 48, 8)
    hidden = [part for a, b in itertools.pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
    return models.subject(
        nn.Sequential(*hidden, nn.Linear(8, 4)), (6,), max_batch_size=8, update="budget:1MB"
    )


@pytest.fixture
def samples() -> Batch:
    """64 samples whose class is in which quadrant their first two numbers lie."""
    inputs = torch.from_numpy(np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32))
    quadrants: Tensor = 2 * (inputs[:, 0] > 0).long() + (inputs[:, 1] > 0).long()
    return Batch({"inputs": inputs}, {"targets": quadrants})
