"""Methods that return tensors of the program, and the arguments that tensors are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from ..artifacts.contract import Argument, Role
from ..upstream.programs import rename_tensors


class _Tensors(nn.Module):
    """() → tensors."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        super().__init__()
        for i, tensor in enumerate(tensors):
            self.register_buffer(f"b{i}", tensor)

    def forward(self) -> tuple[Tensor, ...]:
        return tuple(self.buffers())


def capture_tensors(tensors: Mapping[str, Tensor]) -> ExportedProgram:
    """A method without inputs that returns tensors by their names in the model."""
    program = torch.export.export(_Tensors(t.detach() for t in tensors.values()), ())
    specs = program.graph_signature.input_specs
    rename_tensors(
        program, {s.target: name for name, s in zip(tensors, specs, strict=True) if s.target is not None}
    )
    return program


def tensor_arguments(role: Role, tensors: Mapping[str, Tensor], first: int) -> list[Argument]:
    """Outputs that are tensors of the program.

    Args:
        first: index of the first of them.
    """
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
