"""Tensors that are taken apart wholly, at once."""

from __future__ import annotations

from ...config.stages import ExportCommand
from ..passes.unbound_selects import unbound_selects
from ..pipeline import Captured


def parts_at_once(captured: Captured, command: ExportCommand | None = None) -> Captured:
    """In `train`, in place: elsewhere nothing is gained."""
    if "train" in captured.graphs:
        unbound_selects(captured.graphs["train"])
    return captured
