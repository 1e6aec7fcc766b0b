"""The joint graph: forward and backward in one, made ahead of time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind

from ..artifacts.contract import Argument, Role
from ..upstream import add_backward_graph, core_decompositions, rename_tensors
from .decompositions import DECOMPOSITIONS
from .module_paths import complete_paths
from .pipeline import Captured, Joint, Signature


def make_joint(captured: Captured) -> Joint:
    """Adds the backward graph to `train`, and the method `buffers` where that one writes any.

    The outputs of `train` become [buffer updates, its own, gradients]; lowering appends the parameters, and
    drops the updates.
    """
    graphs, signatures = dict(captured.graphs), dict(captured.signatures)
    if "train" not in graphs:
        return Joint(graphs, signatures, [], [])
    graphs["train"] = joint = add_backward(graphs["train"])
    trainable, mutated = gradient_names(joint), mutated_buffers(joint)
    tensors = {**joint.state_dict, **joint.constants}
    signatures["train"] = _with_gradients(signatures["train"], {n: tensors[n] for n in trainable})
    if mutated:
        buffers = {name: tensors[name] for name in mutated}
        graphs["buffers"] = _capture_buffers(buffers)
        signatures["buffers"] = Signature([], _arguments("buffer", buffers, 0))
    return Joint(graphs, signatures, trainable, mutated)


def add_backward(program: ExportedProgram) -> ExportedProgram:
    """The joint graph of a captured one whose first output is the loss."""
    joint = add_backward_graph(program, joint_decompositions())
    complete_paths(joint)
    return joint


def joint_decompositions() -> dict[Any, Callable[..., Any]]:
    """The rules joint graphs are made by: PyTorch's core ones, and ours."""
    table = {**core_decompositions(), **DECOMPOSITIONS}
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


def _with_gradients(train: Signature, parameters: dict[str, Tensor]) -> Signature:
    own = len(train.outputs)
    return Signature(
        train.inputs,
        [
            *train.outputs,
            *_arguments("gradient", parameters, own),
            *_arguments("parameter", parameters, own + len(parameters)),
        ],
    )


def _arguments(role: Role, tensors: dict[str, Tensor], first: int) -> list[Argument]:
    return [
        Argument(
            name=name,
            role=role,
            tensor=name,
            index=first + i,
            dtype=str(tensor.dtype).removeprefix("torch."),
            shape=list(tensor.shape),
        )
        for i, (name, tensor) in enumerate(tensors.items())
    ]


class _Buffers(nn.Module):
    """() → buffers."""

    def __init__(self, buffers: Iterable[Tensor]) -> None:
        super().__init__()
        for i, tensor in enumerate(buffers):
            self.register_buffer(f"b{i}", tensor)

    def forward(self) -> tuple[Tensor, ...]:
        return tuple(self.buffers())


def _capture_buffers(buffers: dict[str, Tensor]) -> ExportedProgram:
    """A method without inputs that returns buffers by their names in the model: what training changes besides
    parameters (running statistics) can be read back through it, and saved."""
    program = torch.export.export(_Buffers(buffers.values()), (), strict=True)
    specs = program.graph_signature.input_specs
    rename_tensors(
        program, {s.target: name for name, s in zip(buffers, specs, strict=True) if s.target is not None}
    )
    return program
