"""What is checked: a checkpoint, or a model by name with random weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..artifacts.checkpoint import Checkpoint
from ..artifacts.specs import InputSpec, TensorSpec, parse_spec
from ..config.model import ModelConfig
from ..config.names import TASK_OF_LABELS
from ..config.optimizer import OptimizerConfig
from ..config.stages import CheckCommand, ExportCommand, ExportConfig
from ..engine.seeding import seed_everything
from ..errors import EdgetrainError, InputError, UsageError
from ..export.pipeline import Subject
from ..export.stage import load_subject
from ..factories import Trusted
from ..models.build import build_model, resolve_model
from ..models.calling import call_model
from ..models.input_names import input_names
from ..tasks import choose_task
from ..tasks.outputs import main_output, named_outputs


def subject_of(config: CheckCommand, checkpoint: Path | None = None) -> Subject:
    """The model that a configuration names, or that of a checkpoint.

    Args:
        checkpoint: code that it names is run if the configuration names it too.
    Raises:
        InputError: the checkpoint is unusable, or the model fails on its inputs.
        UsageError: the model can't be built, or what it takes isn't known.
    """
    if checkpoint is not None:
        return _loaded(config, checkpoint)
    specs = [parse_spec(text) for text in config.check.input_shape]
    if not specs:
        raise UsageError(
            f"what {config.model.name} takes isn't known; say it, as in --input-shape 3,64,64 for an image "
            "or --input-shape 32:int64 for ids"
        )
    seed_everything(config.check.seed)
    numbered = {f"input{i}": _input(spec) for i, spec in enumerate(specs)}
    model = resolve_model(config.model, numbered, config.check.num_classes)
    module = build_model(model)
    inputs = dict(zip(input_names(module, len(specs)), numbered.values(), strict=True))
    task = choose_task(config.task, config.loss, None, usual=_usual_task(module, model, inputs))
    source = Checkpoint(model=model, state={}, inputs=inputs, task=task.spec)
    return Subject(module, task, source, export_command(config), origin=model.name)


def export_command(config: CheckCommand) -> ExportCommand:
    """How a model is exported to be checked."""
    settings = config.check
    export = ExportConfig(
        max_batch_size=settings.batch_size,
        batch_norm=settings.batch_norm,
        tolerance=settings.tolerance,
        seed=settings.seed,
    )
    return ExportCommand(optimizer=OptimizerConfig(lr=settings.learning_rate), export=export)


def _loaded(config: CheckCommand, checkpoint: Path) -> Subject:
    if config.check.input_shape:
        raise UsageError(f"{checkpoint} says what its model takes; leave out --input-shape")
    named = "name" in config.model.model_fields_set
    trusted = Trusted(config.model.name if named else None, config.loss.name)
    return load_subject(export_command(config), checkpoint, trusted)


def _input(spec: TensorSpec) -> InputSpec:
    return InputSpec(shape=spec.shape, dtype=spec.dtype)


def _usual_task(module: torch.nn.Module, model: ModelConfig, inputs: dict[str, InputSpec]) -> str | None:
    """The task whose labels have as many dimensions as the model's outputs leave them."""
    batch = {name: _zeros(spec) for name, spec in inputs.items()}
    module.eval()
    try:
        with torch.no_grad():
            output = main_output(named_outputs(call_model(module, batch)))
    except EdgetrainError:
        raise
    except Exception as error:  # a model is anybody's code
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        shapes = ", ".join(f"{name} {list(spec.shape)}" for name, spec in inputs.items())
        raise InputError(f"{model.name} fails on inputs of {shapes}: {reason}") from error
    return TASK_OF_LABELS.get(output.dim() - 2)


def _zeros(spec: InputSpec) -> Tensor:
    """Two samples; every embedding has the id 0."""
    return torch.zeros(2, *spec.shape, dtype=getattr(torch, spec.dtype))
