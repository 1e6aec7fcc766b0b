"""view(x) → reshape(x): shapes that don't depend on how tensors lie in memory."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from .rewriting import calls, finish

aten = torch.ops.aten


def reshaped_views(program: ExportedProgram) -> int:
    """Makes all views reshapes, before other passes change what they view; returns how many there were.

    PyTorch's views need arguments of certain strides, and a rewritten operator may return others. In the
    runtime every tensor is contiguous; lowering makes views of the reshapes again.
    """
    views = calls(program, aten.view.default)
    for node in views:
        node.target = aten.reshape.default
    finish(program)
    return len(views)
