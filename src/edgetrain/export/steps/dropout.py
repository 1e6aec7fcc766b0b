"""Dropout that scales rightly and can be turned off."""

from __future__ import annotations

from ...config.stages import ExportCommand
from ..passes.dropout_as_mask import dropout_as_mask
from ..pipeline import Joint


def maskable_dropout(joint: Joint, command: ExportCommand) -> Joint:
    """Rewrites the dropouts of all methods, in place: a function may drop out in evaluation as well."""
    for graph in {id(graph): graph for graph in joint.graphs.values()}.values():
        dropout_as_mask(graph)
    return joint
