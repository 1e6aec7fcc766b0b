"""Edge dialect: the operators that lowering knows."""

from __future__ import annotations

import torch
from executorch.exir import EdgeProgramManager, to_edge, to_edge_transform_and_lower
from torch import Tensor
from torch.export import ExportedProgram

from ..errors import CheckFailedError
from ..upstream import edge_settings, restore_batch_range
from .passes.copied_weight_views import copied_weight_views
from .passes.in_place import in_place
from .pipeline import Edge, Graphs, Joint, Recipe

_FAILURES = (RuntimeError, AssertionError, KeyError, ValueError, NotImplementedError)


def to_edge_dialect(joint: Joint, recipe: Recipe, origin: str) -> Edge:
    """Brings all graphs to edge dialect; backends take over what their partitioners find.

    Args:
        origin: where the model comes from, for messages.
    Raises:
        CheckFailedError: ExecuTorch can't, with its reason.
    """
    tensors: dict[str, Tensor] = {}
    for name in ("evaluate", *joint.graphs):
        tensors.update(named_tensors(joint.graphs[name]) if name in joint.graphs else {})
    try:
        manager = _delegated(joint.graphs, recipe) if recipe.partitioners else _plain(joint.graphs)
    except _FAILURES as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise CheckFailedError(
            f"{origin} can't be lowered: {lines[0] if lines else type(error).__name__} (--debug shows all)"
        ) from error
    return Edge(joint, manager, tensors)


def _plain(graphs: Graphs) -> EdgeProgramManager:
    # Left whole: `kept_linear` has put it there, and the runtime has a kernel for it.
    manager = to_edge(graphs, compile_config=edge_settings([torch.ops.aten.linear.default]))
    for name, program in graphs.items():
        lowered = manager.exported_program(name)
        restore_batch_range(lowered, program)
        copied_weight_views(lowered)
        in_place(lowered)
    return manager


def _delegated(graphs: Graphs, recipe: Recipe) -> EdgeProgramManager:
    assert recipe.partitioners is not None
    partitioners = recipe.partitioners()
    return to_edge_transform_and_lower(
        graphs,
        partitioner=dict.fromkeys(graphs, partitioners),
        compile_config=edge_settings(),
    )


def named_tensors(program: ExportedProgram) -> dict[str, Tensor]:
    """Parameters and buffers a graph really reads, by name."""
    used = {node.target for node in program.graph.nodes if node.op == "placeholder" and node.users}
    signature = program.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    tensors = {**program.state_dict, **program.constants}
    return {
        name: tensors[name].detach()
        for placeholder, name in names.items()
        if placeholder in used and isinstance(tensors.get(name), torch.Tensor)
    }
