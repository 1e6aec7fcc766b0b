"""A layer in place of another."""

from __future__ import annotations

from torch import nn

from ...artifacts.transforms import ReplacedLayer
from .new_layer import make_layer, put_layer


def replace_layer(model: nn.Module, record: ReplacedLayer) -> nn.Module:
    """Puts the recorded layer, with initial parameters, where another is."""
    old = model.get_submodule(record.module)
    return put_layer(model, record.module, make_layer(record.module, record.by, old, model))
