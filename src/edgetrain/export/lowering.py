"""Lowering: memory planning, the serialized program."""

from __future__ import annotations

from executorch.exir import ExecutorchBackendConfig

from ..upstream.lowering import spared_lowering
from .memory.timeline import MemoryTimeline
from .memory_planning import SharedWeightsPlanning
from .pipeline import Edge, Lowered, Recipe


def lower(edge: Edge, recipe: Recipe) -> Lowered:
    """Lowers graphs in edge dialect to one program over one set of weights."""
    joint, methods = edge.joint, edge.manager.methods
    planning = SharedWeightsPlanning(
        [*joint.trainable, *joint.mutated, *joint.states],
        external=edge.tensors if recipe.external else (),
        from_zero=joint.states,
    )
    with spared_lowering():
        manager = edge.manager.to_executorch(
            ExecutorchBackendConfig(memory_planning_pass=planning.passes(methods))
        )
    plans = [p for p in manager.executorch_program.execution_plan if p.name in methods]
    return Lowered(
        edge=edge,
        program=bytes(manager.buffer),
        arena_bytes={plan.name: [int(n) for n in plan.non_const_buffer_sizes[1:]] for plan in plans},
        operators={
            plan.name: sorted({f"{o.name}.{o.overload}" if o.overload else o.name for o in plan.operators})
            for plan in plans
        },
        weight_offsets=planning.offsets,
        timelines={name: _with_inputs_named(t, edge) for name, t in planning.timelines.items()},
    )


def _with_inputs_named(timeline: MemoryTimeline, edge: Edge) -> MemoryTimeline:
    """A method's timeline in which inputs are called as in its signature, where it has one, and not as in its
    graph."""
    signature = edge.joint.signatures.get(timeline.method)
    if signature is None:
        return timeline
    nodes = edge.manager.exported_program(timeline.method).graph_signature.user_inputs
    names = {str(node): argument.name for node, argument in zip(nodes, signature.inputs, strict=True)}
    return timeline.with_inputs_named(names)
