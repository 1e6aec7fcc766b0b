"""Whether two runs see the same data, found out at little cost."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from .base import Split

_LOOKED_AT = 16


def fingerprint(split: Split) -> str:
    """SHA-256 over all targets and a few evenly spaced samples, as they are stored."""
    count = min(len(split), _LOOKED_AT)
    rows = torch.arange(count) * len(split) // count
    digest = hashlib.sha256()
    for tensor in (split.targets, split.inputs(rows)):
        digest.update(f"{tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().numpy().tobytes()
