"""Operators in an order that needs little memory."""

from __future__ import annotations

from ...config.stages import ExportCommand
from ..memory.order import apply_order, least_memory_order
from ..pipeline import Edge


def order(edge: Edge, command: ExportCommand) -> Edge:
    """Orders the graphs of all methods, in place."""
    for name in edge.manager.methods:
        program = edge.manager.exported_program(name)
        apply_order(program, least_memory_order(program))
    return edge
