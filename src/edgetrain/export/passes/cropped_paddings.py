"""pad(x, [1, -1]) → pad(x[:-1], [1, 0]): no padding in a captured graph is negative.

Negative padding cuts, and the runtime's kernel (its xnnpack backend's too) refuses it as it runs.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch.export import ExportedProgram

from .rewriting import arguments, calls, computed

aten = torch.ops.aten


def cropped_paddings(program: ExportedProgram) -> int:
    """Cuts first, and pads with a constant what remains; returns how many were negative."""
    count = 0
    for node in calls(program, aten.pad.default, aten.constant_pad_nd.default):
        given: tuple[Any, ...] = arguments(node)
        constant = node.target is aten.constant_pad_nd.default or [*given[2:3], "constant"][0] == "constant"
        x, sizes = given[:2]
        if not constant or not all(isinstance(n, int) for n in sizes) or min(sizes, default=0) >= 0:
            continue
        graph, dims = program.graph, len(node.meta["val"].shape)
        with graph.inserting_before(node):
            cut = x
            for i, (before, after) in enumerate(zip(sizes[::2], sizes[1::2], strict=True)):
                if before < 0 or after < 0:
                    ends = (max(-before, 0), after if after < 0 else sys.maxsize)
                    cut = computed(graph, aten.slice.Tensor, (cut, dims - 1 - i, *ends), cut)
            node.args = (cut, [max(n, 0) for n in sizes], *given[2:])
        count += 1
    program.graph_module.recompile()
    return count
