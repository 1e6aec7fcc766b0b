"""Training between the steps of a recipe: epochs of `edgetrain train` that start from the model as it is."""

from __future__ import annotations

from pathlib import Path

from ..artifacts.checkpoint import Checkpoint, load_checkpoint
from ..artifacts.transforms import Observers
from ..config.model import LossConfig, ModelConfig, TaskConfig
from ..config.names import LOSSES, TASKS
from ..config.stages import OptimizeCommand, TrainCommand
from ..engine.step_hooks import StepHook
from ..factories import Trusted, is_factory
from ..reporting import Reporter
from ..training import last_path, train
from .quantized import with_observers
from .work import Work, open_work


def retrain(work: Work, epochs: int, output: Path, *, resume: bool, hook: StepHook | None = None) -> Work:
    """Trains the model and takes the weights of the best epoch.

    Args:
        output: the checkpoint that training writes, with what it writes beside.
        resume: go on with a run of the same output, where there is one.
        hook: changes weights after each step.
    Raises:
        as `training.train`.
    """
    train(
        _command(work, epochs, output.stem),
        output,
        resume=resume and last_path(output).is_file(),
        start=work.checkpoint,
        hook=hook,
        dataset=work.data(f"{epochs} epochs of training"),
        reporter=work.reporter,
    )
    return work.reloaded(load_checkpoint(output), output)


def start_with_rounding(
    config: TrainCommand, checkpoint: Checkpoint, source: Path, reporter: Reporter
) -> Checkpoint:
    """What `train --qat` starts from: a trained model that computes with the rounding of its int8 program.

    Args:
        checkpoint: of the float model; one that has the rounding stays as it is.
        source: its file, for messages.
    Raises:
        as `open_work`, and UsageError if the model can't be quantized.
    """
    if any(isinstance(transform, Observers) for transform in checkpoint.transforms):
        return checkpoint
    command = OptimizeCommand(data=config.data)
    trusted = Trusted(model=config.model.name, loss=config.loss.name)
    return with_observers(open_work(command, checkpoint, source, trusted, reporter)).checkpoint


def _command(work: Work, epochs: int, name: str) -> TrainCommand:
    """How a step of this name trains: with a log of its own, where there is one."""
    config, spec = work.config, work.checkpoint.task
    log = config.train.log
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
        train=config.train.model_copy(
            update={"epochs": epochs, "max_steps": None, "log": log and f"{log}/{name}"}
        ),
    )
