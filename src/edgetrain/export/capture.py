"""Capture: the model and its loss as graphs with a dynamic batch, one for each method of the program."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..artifacts.specs import Task
from ..engine.losses import make_loss, predict_from_logits
from ..engine.modes import BatchNormMode, set_training_mode
from ..errors import CheckFailedError

_PREFIX = "model."


class LossStep(nn.Module):
    """(inputs, targets) → (loss, predictions): what `train` and `evaluate` compute.

    The loss comes first, since the backward graph starts from output 0.
    """

    def __init__(self, model: nn.Module, task: Task) -> None:
        super().__init__()
        self.model = model
        self.criterion = make_loss(task)
        self.task = task

    def forward(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.model(inputs)
        return self.criterion(logits, targets), predict_from_logits(self.task, logits.detach())


class Predict(nn.Module):
    """inputs → logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        return self.model(inputs)


@dataclass(frozen=True)
class Captured:
    """Forward graphs of the three methods, over tensors named as in the model's state_dict."""

    train: ExportedProgram
    evaluate: ExportedProgram
    predict: ExportedProgram


def capture(
    model: nn.Module,
    task: Task,
    inputs: Tensor,
    targets: Tensor,
    max_batch_size: int,
    batch_norm: BatchNormMode,
) -> Captured:
    """Captures the three methods.

    Args:
        inputs, targets: an example batch [B, ...] with B >= 2 where max_batch_size allows it, since
            tracing takes a batch of 1 for a constant.
    Raises:
        CheckFailedError: torch.export can't capture the model, with its reason.
    """
    step, predict = LossStep(model, task), Predict(model)
    set_training_mode(model, batch_norm)
    train = _export(step, (inputs, targets), max_batch_size)
    model.eval()
    evaluate = _export(step, (inputs, targets), max_batch_size)
    prediction = _export(predict, (inputs,), max_batch_size)
    return Captured(train, evaluate, prediction)


def _export(module: nn.Module, example: tuple[Tensor, ...], max_batch_size: int) -> ExportedProgram:
    program = export_graph(module, example, max_batch_size)
    _drop_prefix(program)
    return program


def export_graph(
    module: nn.Module, example: tuple[Tensor, ...], max_batch_size: int, *, strict: bool = True
) -> ExportedProgram:
    """Captures one graph in the module's mode, for batches of 1 to max_batch_size samples (with 1: of as many
    as the example has).

    Args:
        strict: read the Python code rather than run it; this takes longer and refuses more.

    Raises:
        CheckFailedError: torch.export can't capture it, with its reason.
    """
    batch = Dim("batch", min=1, max=max_batch_size) if max_batch_size > 1 else None
    dynamic = tuple({0: batch} for _ in example) if batch is not None else None
    try:
        # Fused attention has no backward kernel in the runtime; its math form is made of ops that have.
        # What can't be traced is said in the exception; the dumps of graphs beside it help nobody here.
        with sdpa_kernel(SDPBackend.MATH), contextlib.redirect_stderr(io.StringIO()):
            return torch.export.export(module, example, dynamic_shapes=dynamic, strict=strict)
    except Exception as error:  # torch.export raises many types, none of them shared
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        dynamic_failed = batch is not None and any(word in str(error) for word in ("batch", "Constraints"))
        hint = "; --max-batch-size 1 avoids a dynamic batch" if dynamic_failed else ""
        raise CheckFailedError(
            f"torch.export can't capture the model: {reason} (--debug shows all{hint})"
        ) from error


def _drop_prefix(program: ExportedProgram) -> None:
    """Names tensors as the model itself does, without the wrapper's attribute in front."""
    for spec in program.graph_signature.input_specs:
        if spec.target and spec.target.startswith(_PREFIX):
            spec.target = spec.target.removeprefix(_PREFIX)
    for spec in program.graph_signature.output_specs:
        if spec.target and spec.target.startswith(_PREFIX):
            spec.target = spec.target.removeprefix(_PREFIX)
    for tensors in (program._state_dict, program._constants):
        for name in [name for name in tensors if name.startswith(_PREFIX)]:
            tensors[name.removeprefix(_PREFIX)] = tensors.pop(name)
