"""The joint graph: forward and backward in one, made ahead of time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch._decomp import core_aten_decompositions
from torch.export import ExportedProgram
from torch.export.experimental import _copy_graph_module_and_signature, _remove_detach_pass
from torch.export.exported_program import _decompose_exported_program
from torch.export.graph_signature import OutputKind

from .decompositions import DECOMPOSITIONS
from .passes import SIMPLIFICATIONS
from .passes.dropout_as_mask import dropout_as_mask


def make_joint_graph(
    program: ExportedProgram,
    simplifications: Sequence[Callable[[ExportedProgram], int]] = SIMPLIFICATIONS,
    decompositions: Mapping[Any, Callable[..., Any]] | None = None,
) -> ExportedProgram:
    """Adds the backward graph to a captured `(loss, predictions)` graph, and makes the whole cheaper.

    The outputs become [buffer updates, loss, predictions, gradients]; lowering appends the parameters.
    This does what torch's `_export_forward_backward` does, with our decompositions beside the core ones.

    Args:
        decompositions: more of them.
    """
    with torch.enable_grad():
        joint = _decompose_exported_program(
            program,
            cia_to_decomp={},
            python_decomp_table={**_decompositions(), **(decompositions or {})},
            joint_loss_index=0,
            decompose_custom_triton_ops=False,
        )
    graph_module, signature = _copy_graph_module_and_signature(joint)
    _remove_detach_pass(graph_module, signature)
    joint = joint._update(graph_module, signature)
    dropout_as_mask(joint)
    for simplify in simplifications:
        simplify(joint)
    return joint


def _decompositions() -> dict[Any, Any]:
    table = {**core_aten_decompositions(), **DECOMPOSITIONS}
    # Kept whole, so that `dropout_as_mask` finds it.
    table.pop(torch.ops.aten.native_dropout_backward.default, None)
    return table


def gradient_names(joint: ExportedProgram) -> list[str]:
    """Names of the parameters the joint graph returns gradients for, in the order it returns them."""
    kinds = (OutputKind.GRADIENT_TO_PARAMETER,)
    return [s.target for s in joint.graph_signature.output_specs if s.kind in kinds and s.target]


def mutated_buffers(program: ExportedProgram) -> list[str]:
    """Names of the buffers a graph writes (running statistics of batch norm in training mode)."""
    return [
        s.target
        for s in program.graph_signature.output_specs
        if s.kind is OutputKind.BUFFER_MUTATION and s.target
    ]
