"""Training mode, with batch norm as it is wanted."""

from __future__ import annotations

from typing import Literal

from torch import nn

from ..upstream.layers import batch_norm_types

BatchNormMode = Literal["frozen", "train"]


def set_training_mode(model: nn.Module, batch_norm: BatchNormMode = "train") -> None:
    """Training mode; with frozen batch norm these layers use (and keep) their stored statistics."""
    model.train()
    if batch_norm == "frozen":
        layers = batch_norm_types()
        for module in model.modules():
            if isinstance(module, layers):
                module.eval()
