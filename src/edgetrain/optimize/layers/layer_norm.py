"""Layer norm → batch norm: statistics that are known beforehand, where the user asks for it."""

from __future__ import annotations

from torch import nn

from ...models.transforms.batch_norm_last import BatchNormLast
from .changes import Place
from .convnext import batch_norm_for


def batch_norm_instead(place: Place) -> nn.Module | None:
    """Batch norm over the same channels, the last dimension."""
    norm = place.layer
    if type(norm) is not nn.LayerNorm:
        return None
    if len(norm.normalized_shape) != 1:
        place.note("stays, since it normalises over more than the channels")
        return None
    return batch_norm_for(norm, BatchNormLast)
