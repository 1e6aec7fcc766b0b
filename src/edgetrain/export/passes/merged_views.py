"""unsqueeze(unsqueeze(x)) → reshape(x): a chain of reshapes is one, which costs nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from .rewriting import arguments, call, calls, finish, replace

aten = torch.ops.aten
_VIEWS = (aten.reshape.default, aten.unsqueeze.default, aten.squeeze.dims, aten.squeeze.dim)


def merged_views(program: ExportedProgram) -> int:
    """Makes each chain of reshapes, unsqueezes and squeezes one of its beginning; returns how many chains.

    ExecuTorch makes a view free by giving it the memory of what it views, but copies for the others.
    Only shapes of which all lengths but one are known are written so.
    """
    count = 0
    for node in calls(program, *_VIEWS):
        base = arguments(node)[0]
        while isinstance(base, Node) and base.target in _VIEWS:
            base = arguments(base)[0]
        shape = _static_shape(node)
        if not isinstance(base, Node) or shape is None:
            continue
        if node.target is aten.reshape.default and base is node.args[0]:
            continue
        with program.graph.inserting_before(node):
            view = call(program.graph, aten.reshape.default, (base, shape), node.meta["val"], node)
        count += replace(program, node, view)
    finish(program)
    return count


def _static_shape(node: Node) -> list[Any] | None:
    """A view's sizes, the one that depends on the batch as -1."""
    sizes = [size if isinstance(size, int) else -1 for size in node.meta["val"].shape]
    return sizes if sizes.count(-1) <= 1 and 0 not in sizes else None
