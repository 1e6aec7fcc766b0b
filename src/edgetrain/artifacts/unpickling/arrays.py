"""Arrays of numpy as tensors, where weights were saved as such."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .constructors import Array
from .machine import DamagedPickleError

# Weights lie no deeper.
_DEPTH = 8


def arrays_as_tensors(value: Any, depth: int = _DEPTH) -> Any:
    """A value whose dictionaries and lists have tensors where they had arrays of numbers."""
    if isinstance(value, Array):
        try:
            array = value.value
            # In the order of bytes that this machine has, and not the file's own memory.
            return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("=")))
        except (DamagedPickleError, TypeError):
            return value
    if not depth:
        return value
    if isinstance(value, dict):
        return {key: arrays_as_tensors(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(arrays_as_tensors(item, depth - 1) for item in value)
    return value
