"""A layer in place of another."""

from __future__ import annotations

from torch import nn

from ...artifacts.transforms import ReplacedLayer
from .layers import build_layer


def replace_layer(model: nn.Module, record: ReplacedLayer) -> nn.Module:
    """Puts the recorded layer, with initial parameters, where another is."""
    old = model.get_submodule(record.module)
    model.set_submodule(record.module, build_layer(record.by).train(old.training))
    return model
