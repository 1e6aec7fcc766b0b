"""Random state: initial weights and dropout come from PyTorch's global generators."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seeds PyTorch (all devices), NumPy and Python's `random`, which models of users may draw from."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def get_random_state() -> dict[str, Any]:
    """PyTorch's generators as plain data: `cpu` uint8 [N] and `cuda` (one uint8 tensor per GPU)."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_random_state(state: dict[str, Any]) -> None:
    """Puts back what `get_random_state` took; GPUs that are not here are left out."""
    torch.set_rng_state(state["cpu"])
    for index, generator in enumerate(state["cuda"]):
        if index < torch.cuda.device_count():
            torch.cuda.set_rng_state(generator, index)
