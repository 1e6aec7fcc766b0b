"""view(weight) → view(clone(weight)): no tensor that is another's memory under the weight's name."""

from __future__ import annotations

from torch.export import ExportedProgram

from ...upstream.edge import edge_operators
from ..module_paths import keep_path

_VIEW_COPY = edge_operators().aten.view_copy.default
_CLONE = edge_operators().aten.clone.default


def copied_weight_views(program: ExportedProgram) -> int:
    """Puts a copy before every view of a weight in an edge-dialect graph; returns how many there were.

    Lowering makes views free by giving them the memory of what they view. For a weight that is stored by name
    outside the program it gives them the name, too, and the runtime then finds the wrong shape under it.
    The weights that are viewed are small ones: scales and biases of normalisations.
    """
    signature = program.graph_signature
    weights = {*signature.inputs_to_parameters, *signature.inputs_to_buffers}
    graph = program.graph_module.graph
    count = 0
    for node in list(graph.nodes):
        if node.op != "call_function" or node.target is not _VIEW_COPY:
            continue
        base = node.args[0]
        if base.op == "placeholder" and base.target in weights:
            with graph.inserting_before(node):
                copy = graph.call_function(_CLONE, (base,))
                copy.meta = {"val": base.meta["val"].detach().clone()}
                keep_path(copy, node)
            node.replace_input_with(base, copy)
            count += 1
    if count:
        program.graph_module.recompile()
    return count
