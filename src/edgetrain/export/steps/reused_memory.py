"""Results in the memory of what nobody needs any more."""

from __future__ import annotations

from ...config.stages import ExportCommand
from ..passes.in_place import in_place
from ..pipeline import Edge


def reused_memory(edge: Edge, command: ExportCommand) -> Edge:
    """Marks such results in all graphs, in place. Every order of operators has others."""
    for name in edge.joint.graphs:
        in_place(edge.manager.exported_program(name))
    return edge
