"""Dropout that scales rightly and can be turned off."""

from __future__ import annotations

from ...config.stages import ExportCommand
from ..passes.dropout_as_mask import dropout_as_mask
from ..pipeline import Joint


def maskable_dropout(joint: Joint, command: ExportCommand) -> Joint:
    """Rewrites the dropouts of `train`, in place."""
    dropout_as_mask(joint.graphs["train"])
    return joint
