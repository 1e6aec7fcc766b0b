"""A model as a program for inference: one method, `forward`, with its weights inside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn
from torch.export import ExportedProgram

from ..artifacts.atomic import write_bytes
from ..models.calling import call_model
from .capture import export_graph
from .pipeline import Captured
from .planning import lower_captured
from .recipes import Backend, inference_recipe


class Positional(nn.Module):
    """A model that takes its inputs in order, whatever its own parameters are called."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *tensors: Tensor) -> object:
        return call_model(self.model, dict(zip(self.names, tensors, strict=True)))


def capture_inference(model: nn.Module, example: Mapping[str, Tensor]) -> ExportedProgram:
    """Captures a model in evaluation mode, for single samples.

    Args:
        example: inputs of a batch, by name.
    Raises:
        CheckFailedError: torch.export can't capture it.
    """
    model.eval()
    one = [tensor[:1] for tensor in example.values()]
    return export_graph(Positional(model, list(example)), one, 1, strict=False)


def write_inference_program(
    model: nn.Module, example: Mapping[str, Tensor], path: Path, backend: Backend = "xnnpack"
) -> None:
    """Writes a float program for single samples.

    Raises:
        CheckFailedError: the model can't be captured, or lowered.
    """
    write_captured(capture_inference(model, example), path, backend)


def write_captured(program: ExportedProgram, path: Path, backend: Backend = "xnnpack") -> None:
    """Lowers a captured model, and writes it.

    Raises:
        CheckFailedError: it can't be lowered.
    """
    lowered = lower_captured(Captured({"forward": program}, {}), inference_recipe(backend), "the model")
    write_bytes(path, lowered.program)
