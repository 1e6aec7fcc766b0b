"""Edge dialect: the operators that lowering knows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from executorch.exir import EdgeProgramManager, to_edge_transform_and_lower
from torch import Tensor
from torch.export import ExportedProgram

from ..artifacts.contract import BACKBONE
from ..errors import CheckFailedError
from ..upstream.edge import edge_settings, manager_of, merged_managers
from ..upstream.lowering import spared_lowering
from ..upstream.programs import constant_length, copied_program, restore_batch_range
from .passes.copied_weight_views import copied_weight_views
from .passes.core_calls import core_calls
from .passes.dropped_clones import dropped_clones
from .pipeline import Edge, Graphs, Joint, Recipe
from .twin_methods import joined, parted

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
        if name in joint.graphs and name != BACKBONE:
            tensors.update(named_tensors(joint.graphs[name]))
    delegated = list(joint.graphs) if recipe.delegated is None else recipe.delegated
    try:
        manager = _lowered(joint.graphs, recipe, delegated if recipe.partitioners else [])
    except _FAILURES as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise CheckFailedError(
            f"{origin} can't be lowered: {lines[0] if lines else type(error).__name__} (--debug shows all)"
        ) from error
    return Edge(joint, manager, {n: tensor for n, tensor in tensors.items() if n not in joint.states})


def _lowered(graphs: Graphs, recipe: Recipe, delegated: Sequence[str]) -> EdgeProgramManager:
    taken = {name: program for name, program in graphs.items() if name in delegated}
    rest = {name: program for name, program in graphs.items() if name not in delegated}
    if not taken:
        return _plain(rest)
    return merged_managers(_plain(rest), _delegated(taken, recipe)) if rest else _delegated(taken, recipe)


def _plain(graphs: Graphs) -> EdgeProgramManager:
    # Two methods may begin as one graph, which is brought there once; so is what `predict` and `evaluate`
    # have in common.
    first = {id(program): name for name, program in reversed(graphs.items())}
    distinct = {name: program for name, program in graphs.items() if first[id(program)] == name}
    twins = None
    if "evaluate" in distinct and "predict" in distinct:
        twins = joined(distinct["evaluate"], distinct["predict"])
    given = dict(distinct)
    if twins is not None:
        given["evaluate"] = twins
        del given["predict"]
    if "train" in given:
        core_calls(given["train"])
    with spared_lowering():
        # Left whole: `kept_linear` has put it there, and the runtime has a kernel for it.
        manager = manager_of(given, edge_settings([torch.ops.aten.linear.default]))
    lowered = {name: manager.exported_program(name) for name in given}
    if twins is not None:
        counts = (
            len(distinct["evaluate"].graph_signature.user_outputs),
            len(distinct["predict"].graph_signature.user_inputs),
        )
        lowered["evaluate"], lowered["predict"] = parted(lowered["evaluate"], *counts)
    for name, program in distinct.items():
        _check_batch(lowered[name], program)
        restore_batch_range(lowered[name], program)
        dropped_clones(lowered[name])
        copied_weight_views(lowered[name])
    for name, program in graphs.items():
        if name not in lowered:
            lowered[name] = copied_program(lowered[first[id(program)]])
    return EdgeProgramManager({name: lowered[name] for name in graphs}, compile_config=manager.compile_config)


def _check_batch(lowered: ExportedProgram, captured: ExportedProgram) -> None:
    """Raises:
    RuntimeError: the batch was open, and is a constant in edge dialect. A program of that would compute
        wrongly for others, or fail.
    """
    if not captured.range_constraints:
        return
    taken = set(lowered.graph_signature.user_inputs)
    for node in lowered.graph.nodes:
        if node.name in taken and isinstance(node.meta.get("val"), Tensor) and node.meta["val"].dim():
            size = constant_length(node.meta["val"].shape[0])
            if size is not None:
                raise RuntimeError(
                    f"one of its operators makes the batch a constant of {size}; --max-batch-size 1 avoids a "
                    "dynamic batch"
                )


def _delegated(graphs: Graphs, recipe: Recipe) -> EdgeProgramManager:
    assert recipe.partitioners is not None
    partitioners = recipe.partitioners()
    manager = to_edge_transform_and_lower(
        graphs,
        partitioner=dict.fromkeys(graphs, partitioners),
        compile_config=edge_settings(),
    )
    for name, program in graphs.items():
        restore_batch_range(manager.exported_program(name), program)
    return manager


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
