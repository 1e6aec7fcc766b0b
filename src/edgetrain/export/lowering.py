"""Lowering: memory planning, the serialized program."""

from __future__ import annotations

from executorch.exir import ExecutorchBackendConfig

from .memory_planning import SharedWeightsPlanning
from .pipeline import Edge, Lowered, Recipe


def lower(edge: Edge, recipe: Recipe) -> Lowered:
    """Lowers graphs in edge dialect to one program over one set of weights."""
    joint, methods = edge.joint, edge.manager.methods
    planning = SharedWeightsPlanning(
        [*joint.trainable, *joint.mutated], edge.tensors if recipe.external else ()
    )
    manager = edge.manager.to_executorch(ExecutorchBackendConfig(memory_planning_pass=planning))
    plans = [p for p in manager.executorch_program.execution_plan if p.name in methods]
    return Lowered(
        edge=edge,
        program=bytes(manager.buffer),
        arena_bytes={plan.name: [int(n) for n in plan.non_const_buffer_sizes[1:]] for plan in plans},
        operators={
            plan.name: sorted({f"{o.name}.{o.overload}" if o.overload else o.name for o in plan.operators})
            for plan in plans
        },
        weight_offsets=dict(planning.offsets),
    )
