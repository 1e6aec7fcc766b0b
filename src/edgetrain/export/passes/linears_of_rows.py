"""linear(x[D]) → linear(x[1, D])[0]: no linear layer in a captured graph takes a single vector.

The runtime's kernel refuses one as it runs.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from .rewriting import arguments, calls, computed

aten = torch.ops.aten


def linears_of_rows(program: ExportedProgram) -> int:
    """Makes rows of vectors, and vectors of the results; returns how many there were."""
    count = 0
    for node in calls(program, aten.linear.default):
        x, *rest = arguments(node)
        if x.meta["val"].dim() != 1:
            continue
        graph = program.graph
        with graph.inserting_before(node):
            row = computed(graph, aten.unsqueeze.default, (x, 0), node)
            rows = computed(graph, aten.linear.default, (row, *rest), node)
            vector = computed(graph, aten.squeeze.dim, (rows, 0), node)
        node.replace_all_uses_with(vector)
        graph.erase_node(node)
        for spec in program.graph_signature.output_specs:
            if spec.arg.name == node.name:
                spec.arg.name = vector.name
        count += 1
    program.graph_module.recompile()
    return count
