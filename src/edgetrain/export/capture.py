"""Capture: the model and its task as graphs with a dynamic batch, one for each method of the program."""

from __future__ import annotations

import contextlib
import inspect
import io
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..artifacts.contract import BATCH, Argument, Role
from ..engine.modes import set_training_mode
from ..errors import CheckFailedError
from ..models.calling import call_model, every_layer_called
from ..models.vocabularies import watch_vocabularies
from ..tasks import Task
from ..tasks.outputs import main_output, named_outputs
from ..upstream.operators import traced_as
from ..upstream.programs import rename_tensors
from .batches import Batch
from .capture_errors import reason_of
from .compositions.fused import FUSED
from .module_paths import MODEL
from .passes.contiguous_layouts import contiguous_layouts
from .passes.copied_inputs import copied_inputs
from .passes.cropped_paddings import cropped_paddings
from .passes.functional_calls import functional_calls
from .passes.linears_of_rows import linears_of_rows
from .passes.placeholders import drop_unused_tensors
from .pipeline import Captured, Signature, Subject

# Name and role of an argument whose shape and dtype the graph knows.
Label = tuple[str, Role]
# Least and most value of an input or target, and one that counts for nothing.
Bounds = tuple[float | None, float | None, int | None]


class LossStep(nn.Module):
    """(*inputs, *targets) → (loss, *predictions, *metric sums): what `train` and `evaluate` compute.

    The loss comes first, since the backward graph starts from output 0; nothing else gets a gradient.
    """

    def __init__(self, model: nn.Module, task: Task, batch: Batch) -> None:
        super().__init__()
        self.model = model
        self.task = task
        self.inputs, self.targets = list(batch.inputs), list(batch.targets)

    def named(self, *tensors: Tensor) -> list[tuple[Label, Tensor]]:
        """The outputs with their names."""
        inputs = dict(zip(self.inputs, tensors, strict=False))
        targets = dict(zip(self.targets, tensors[len(inputs) :], strict=True))
        outputs = named_outputs(call_model(self.model, inputs))
        loss = self.task.loss(outputs, targets)
        detached = {name: tensor.detach() for name, tensor in outputs.items()}
        predictions = self.task.predictions(detached)
        sums = self.task.sums(detached, targets, loss.detach())
        return [
            (("loss", "loss"), loss),
            *(((name, "prediction"), tensor) for name, tensor in predictions.items()),
            *(((name, "metric"), tensor) for name, tensor in sums.items()),
        ]

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor for _, tensor in self.named(*tensors))


class Predict(nn.Module):
    """(*inputs) → (*outputs, *predictions), the main output first."""

    def __init__(self, model: nn.Module, task: Task, batch: Batch) -> None:
        super().__init__()
        self.model = model
        self.task = task
        self.inputs = list(batch.inputs)

    def named(self, *tensors: Tensor) -> list[tuple[Label, Tensor]]:
        """The outputs with their names."""
        inputs = dict(zip(self.inputs, tensors, strict=True))
        outputs = named_outputs(call_model(self.model, inputs))
        main = main_output(outputs)
        first = [name for name, tensor in outputs.items() if tensor is main][:1]
        ordered = [*first, *(name for name in outputs if name not in first)]
        return [
            *(((name, "output"), outputs[name]) for name in ordered),
            *(((name, "prediction"), tensor) for name, tensor in self.task.predictions(outputs).items()),
        ]

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor for _, tensor in self.named(*tensors))


def capture(subject: Subject, batch: Batch) -> Captured:
    """Captures the three methods of a program that trains.

    Args:
        batch: an example of at least 2 samples where the largest batch allows it, since tracing takes a
            batch of 1 for a constant.
    Raises:
        CheckFailedError: torch.export can't capture the model, with its reason.
    """
    model, task = subject.module, subject.task
    max_batch_size = subject.settings.planned_batch_size
    step, predict = LossStep(model, task, batch), Predict(model, task, batch)
    inputs = tuple(batch.inputs.values())
    set_training_mode(model, subject.settings.batch_norm)
    train = _export(step, batch.tensors, max_batch_size)
    model.eval()
    evaluate = _export(step, batch.tensors, max_batch_size)
    prediction = _export(predict, inputs, max_batch_size)
    with torch.no_grad():
        losses = [label for label, _ in step.named(*batch.tensors)]
        with watch_vocabularies(model, batch.inputs) as vocabularies:
            outputs = named_outputs(call_model(model, batch.inputs))
        predictions = [label for label, _ in predict.named(*inputs)]
    bounds: dict[Label, Bounds] = {
        **{(name, "target"): task.value_bounds(outputs) for name in batch.targets},
        **{(name, "input"): (0, count - 1, None) for name, count in vocabularies.items()},
    }
    taken: list[Label] = [(name, "input") for name in batch.inputs]
    taken_to_train: list[Label] = [*taken, *((name, "target") for name in batch.targets)]
    return Captured(
        {"train": train, "evaluate": evaluate, "predict": prediction},
        {
            "train": _signature(train, taken_to_train, losses, bounds),
            "evaluate": _signature(evaluate, taken_to_train, losses, bounds),
            "predict": _signature(prediction, taken, predictions, bounds),
        },
        counted=task.all_metrics[0].bottom,
    )


def _export(module: nn.Module, example: tuple[Tensor, ...], max_batch_size: int) -> ExportedProgram:
    program = export_graph(module, example, max_batch_size)
    # Weights are named as the model itself does, without the wrapper's attribute in front.
    prefix = f"{MODEL}."
    names = _names(program, InputKind.PARAMETER, InputKind.BUFFER)
    rename_tensors(program, {name: name.removeprefix(prefix) for name in names if name.startswith(prefix)})
    return program


def export_graph(
    module: nn.Module, example: Sequence[Tensor], max_batch_size: int, *, strict: bool = True
) -> ExportedProgram:
    """Captures one graph in the module's mode, for batches of 1 to max_batch_size samples (with 1: of as many
    as the example has).

    Args:
        strict: where running the Python code once doesn't show all that it does, read it; this takes longer
            and refuses more.

    Raises:
        CheckFailedError: torch.export can't capture it, with its reason.
    """
    batch = Dim(BATCH, min=1, max=max_batch_size) if max_batch_size > 1 else None
    shapes = _dynamic(module, example, batch)
    try:
        program = _by_running(module, example, shapes) if strict else None
        program = program or _exported(module, example, shapes, strict=strict)
    except Exception as error:  # torch.export raises many types, none of them shared
        reason = reason_of(error)
        dynamic_failed = batch is not None and any(word in str(error) for word in (BATCH, "Constraints"))
        hint = "; --max-batch-size 1 avoids a dynamic batch" if dynamic_failed else ""
        raise CheckFailedError(
            f"torch.export can't capture the model: {reason} (--debug shows all{hint})"
        ) from error
    # A tensor that is a plain attribute may be called what every module has (`half`), and lowering,
    # which registers it in a module of its own, refuses that name.
    constants = _names(program, InputKind.CONSTANT_TENSOR)
    rename_tensors(program, {name: "constant__" + name.replace(".", "__") for name in constants})
    copied_inputs(program)
    functional_calls(program)
    contiguous_layouts(program)
    cropped_paddings(program)
    linears_of_rows(program)
    return program


def _exported(
    module: nn.Module, example: Sequence[Tensor], shapes: tuple[object, ...] | None, *, strict: bool
) -> ExportedProgram:
    # Fused attention has no backward kernel in the runtime; its math form is made of ops that have.
    # What can't be traced is said in the exception; the dumps of graphs beside it help nobody here.
    with (
        sdpa_kernel(SDPBackend.MATH),
        every_layer_called(),
        traced_as(FUSED),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        return torch.export.export(module, tuple(example), dynamic_shapes=shapes, strict=strict)


class _HiddenError(Exception):
    """The code does what a graph made by running it wouldn't show."""


def _by_running(
    module: nn.Module, example: Sequence[Tensor], shapes: tuple[object, ...] | None
) -> ExportedProgram | None:
    """The graph of the operators that a module runs, in a third of the time that reading its code takes; None
    where there is more to it: numbers that Python or NumPy draw would become constants, and a gradient of the
    model's own (`torch.autograd.Function`) would be lost."""
    states = _random_states()
    try:
        with _refused_functions():
            program = _exported(module, example, shapes, strict=False)
        drop_unused_tensors(program)
        _name_as_module(program, module)
    except Exception:  # what is wrong is found by reading, and told then
        program = None
    drawn = _random_states() != states
    random.setstate(states[0])
    np.random.set_state(states[1])
    return None if drawn else program


def _name_as_module(program: ExportedProgram, module: nn.Module) -> None:
    """Gives tensors that several layers share the name that the module lists them under.

    Raises:
        _HiddenError: the graph takes one twice.
    """
    listed = [*module.named_parameters(), *module.named_buffers()]
    first = {id(tensor): name for name, tensor in reversed(listed)}
    every: dict[str, Tensor] = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    taken = _names(program, InputKind.PARAMETER, InputKind.BUFFER)
    names = {name: first[id(every[name])] for name in taken}
    if len(set(names.values())) < len(taken):
        raise _HiddenError
    rename_tensors(program, {old: new for old, new in names.items() if old != new})


def _random_states() -> tuple[Any, Any]:
    kind, keys, *rest = np.random.get_state()
    return random.getstate(), (kind, tuple(keys), *rest)


@contextlib.contextmanager
def _refused_functions() -> Iterator[None]:
    """While it lasts, a `torch.autograd.Function` can't be applied."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise _HiddenError

    with mock.patch.object(torch.autograd.Function, "apply", refuse):
        yield


def _names(program: ExportedProgram, *kinds: InputKind) -> list[str]:
    """Of the tensors of some kinds that a graph takes."""
    return [s.target for s in program.graph_signature.input_specs if s.kind in kinds and s.target]


def _dynamic(module: nn.Module, example: Sequence[Tensor], batch: Dim | None) -> tuple[object, ...] | None:
    """Which dimensions are open: the first of every tensor. Those of `*tensors` count as one argument."""
    if batch is None:
        return None
    shapes = tuple({0: batch} for _ in example)
    parameters = inspect.signature(module.forward).parameters.values()
    named = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    gathered = shapes[named:] if any(p.kind is p.VAR_POSITIONAL for p in parameters) else ()
    return (*shapes[:named], gathered) if gathered else shapes


def _signature(
    program: ExportedProgram,
    taken: Iterable[Label],
    given: Iterable[Label],
    bounds: Mapping[Label, Bounds],
) -> Signature:
    """What a captured graph takes and gives.

    Args:
        bounds: of targets and ids.
    Raises:
        CheckFailedError: a length depends on the batch in another way than by being its size.
    """
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    inputs, outputs = [], []
    for index, ((name, role), node) in enumerate(
        zip(taken, program.graph_signature.user_inputs, strict=True)
    ):
        least, most, ignored = bounds.get((name, role), (None, None, None))
        argument = tensor_argument(name, role, index, values[str(node)])
        inputs.append(argument.model_copy(update={"least": least, "most": most, "ignored": ignored}))
    for index, ((name, role), node) in enumerate(
        zip(given, program.graph_signature.user_outputs, strict=True)
    ):
        outputs.append(tensor_argument(name, role, index, values[str(node)]))
    return Signature(inputs, outputs)


# Arguments whose first dimension is the batch, where that is a constant.
_BATCHED: tuple[Role, ...] = ("input", "target", "output", "prediction")


def tensor_argument(name: str, role: Role, index: int, value: object) -> Argument:
    """The argument that a node's fake tensor is.

    Raises:
        CheckFailedError: a length depends on the batch in another way than by being its size.
    """
    assert isinstance(value, Tensor)
    shape: list[int | str] = []
    for length in value.shape:
        if isinstance(length, int):
            shape.append(length)
        elif str(length).isidentifier():
            shape.append(BATCH)
        else:
            raise CheckFailedError(
                f"the model returns {name} with a length other than the batch that depends on it ({length}), "
                "which programs can't have; --max-batch-size 1 avoids a dynamic batch"
            )
    if role in _BATCHED and BATCH not in shape and shape:
        shape[0] = BATCH
    return Argument(
        name=name, role=role, index=index, dtype=str(value.dtype).removeprefix("torch."), shape=shape
    )
