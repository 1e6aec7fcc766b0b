"""What weights are known by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch


def weights_hash(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names and contents, by which a run knows weights again."""
    digest = hashlib.sha256()
    for name, tensor in state.items():
        digest.update(name.encode())
        digest.update(tensor.detach().contiguous().cpu().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
