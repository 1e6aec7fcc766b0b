"""Training between the steps of a recipe: epochs of `edgetrain train` that start from the model as it is."""

from __future__ import annotations

from pathlib import Path

from ..artifacts.checkpoint import load_checkpoint
from ..config.model import LossConfig, ModelConfig, TaskConfig
from ..config.names import LOSSES, TASKS
from ..config.stages import TrainCommand
from ..engine.step_hooks import StepHook
from ..factories import is_factory
from ..training import last_path, train
from .work import Work


def retrain(work: Work, epochs: int, output: Path, *, resume: bool, hook: StepHook | None = None) -> Work:
    """Trains the model and takes the weights of the best epoch.

    Args:
        output: the checkpoint that training writes, with what it writes beside.
        resume: go on with a run of the same output, where there is one.
        hook: changes weights after each step.
    Raises:
        as `training.train`.
    """
    work.data(f"{epochs} epochs of training")
    train(
        _command(work, epochs),
        output,
        resume=resume and last_path(output).is_file(),
        start=work.checkpoint,
        hook=hook,
        reporter=work.reporter,
    )
    return work.reloaded(load_checkpoint(output), output)


def _command(work: Work, epochs: int) -> TrainCommand:
    config, spec = work.config, work.checkpoint.task
    known = spec.loss in LOSSES or is_factory(spec.loss)
    loss = LossConfig(
        name=spec.loss if known else LOSSES[0],
        label_smoothing=spec.label_smoothing,
        ignore_index=spec.ignore_index,
    )
    return TrainCommand(
        data=config.data,
        model=ModelConfig(name=work.checkpoint.model.name),
        task=TaskConfig(name=spec.name if spec.name in TASKS else "auto"),
        loss=loss,
        optimizer=config.optimizer,
        schedule=config.schedule,
        train=config.train.model_copy(update={"epochs": epochs, "max_steps": None}),
    )
