"""Lowering: edge dialect, memory planning, the serialized program."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from executorch.exir import EdgeCompileConfig, EdgeProgramManager, ExecutorchBackendConfig, to_edge
from torch import Tensor, nn
from torch.export import ExportedProgram

from .memory_planning import SharedWeightsPlanning
from .passes.copied_weight_views import copied_weight_views
from .passes.in_place import in_place


@dataclass(frozen=True)
class Lowered:
    """A program ready to be written.

    Attributes:
        program: the bytes of the .pte.
        arena_bytes: planned memory by method, one size per arena: activations, weights.
        operators: operators each method calls, as the runtime names them.
        weight_offsets: where each mutable weight lies in its arena [bytes].
    """

    program: bytes
    arena_bytes: dict[str, list[int]]
    operators: dict[str, list[str]]
    weight_offsets: dict[str, int]


class _Buffers(nn.Module):
    """() → buffers."""

    def __init__(self, buffers: Iterable[Tensor]) -> None:
        super().__init__()
        for i, tensor in enumerate(buffers):
            self.register_buffer(f"b{i}", tensor)

    def forward(self) -> tuple[Tensor, ...]:
        return tuple(self.buffers())


def capture_buffers(buffers: dict[str, Tensor]) -> ExportedProgram:
    """A method without inputs that returns buffers by their names in the model: what training changes besides
    parameters (running statistics) can be read back through it, and saved."""
    program = torch.export.export(_Buffers(buffers.values()), (), strict=True)
    for name, spec in zip(buffers, program.graph_signature.input_specs, strict=True):
        program._state_dict[name] = program._state_dict.pop(spec.target)
        spec.target = name
    return program


def to_edge_dialect(methods: dict[str, ExportedProgram]) -> EdgeProgramManager:
    """Brings captured graphs to edge dialect, without the validity check, which knows no joint graphs."""
    settings = EdgeCompileConfig(_check_ir_validity=False, preserve_ops=[torch.ops.aten.linear.default])
    edge = to_edge(methods, compile_config=settings)
    for name, program in methods.items():
        lowered = edge.exported_program(name)
        _restore_batch_range(lowered, program)
        copied_weight_views(lowered)
        in_place(lowered)
    return edge


def _restore_batch_range(lowered: ExportedProgram, captured: ExportedProgram) -> None:
    """Undoes what lowering concludes about the batch size.

    Tracing decompositions asks PyTorch which convolution algorithm it would take, which depends on the batch
    for 1-D convolutions, and notes the answer (batch < 16) as a fact about the program. The graph is the same
    for every batch; that it computes rightly up to the largest is verified.
    """
    lowered._range_constraints = dict(captured.range_constraints)
    for node in lowered.graph.nodes:
        value = node.meta.get("val")
        for length in value.shape if isinstance(value, Tensor) else ():
            if isinstance(length, torch.SymInt):
                ranges = length.node.shape_env.var_to_range
                ranges.update(captured.range_constraints)


def lower(edge: EdgeProgramManager, mutable: Iterable[str], external: Iterable[str] = ()) -> Lowered:
    """Lowers graphs in edge dialect to one program over one set of weights.

    Args:
        mutable: names of the tensors training changes.
        external: names of the tensors to leave out of the program, to be read from a .ptd.
    """
    methods = edge.methods
    planning = SharedWeightsPlanning(mutable, external)
    manager = edge.to_executorch(ExecutorchBackendConfig(memory_planning_pass=planning))
    plans = [p for p in manager.executorch_program.execution_plan if p.name in methods]
    return Lowered(
        program=bytes(manager.buffer),
        arena_bytes={plan.name: [int(n) for n in plan.non_const_buffer_sizes[1:]] for plan in plans},
        operators={
            plan.name: sorted({f"{o.name}.{o.overload}" if o.overload else o.name for o in plan.operators})
            for plan in plans
        },
        weight_offsets=dict(planning.offsets),
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
