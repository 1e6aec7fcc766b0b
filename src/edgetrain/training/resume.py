"""Going on with a run found on disk, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import nn

from ..artifacts.checkpoint import Checkpoint, load_checkpoint
from ..config.compare import differences, free_keys
from ..config.optimizer import ScheduleConfig
from ..config.stages import TrainCommand
from ..engine.metrics import Meter
from ..engine.schedules import depends_on_length
from ..engine.seeding import set_random_state
from ..errors import InputError, UsageError
from ..models.states import fill
from ..reporting import Reporter
from .distributed import World
from .learner import Learner
from .run_state import RunState
from .store import last_path

# What may differ besides how far to go and how often to save; the last bits of the result then can, too.
_INEXACT = {"train.device", "train.threads", "train.eval_batch_size", "data.root"}


@dataclass
class Resumable:
    """A run found on disk.

    Attributes:
        random: PyTorch's random state per process.
        total_steps: steps the run was planned for when it was saved.
        train_data: fingerprint of the training split.
    """

    checkpoint: Checkpoint
    state: RunState
    optimizer: dict[str, Any]
    random: list[dict[str, Any]]
    total_steps: int
    train_data: str


def load_resumable(path: Path) -> Resumable:
    """Reads a `.last.pth`.

    Raises:
        InputError: there is none, or it is damaged or holds no training state.
    """
    if not path.is_file():
        raise InputError(f"there is nothing to resume: {path} does not exist; train without --resume")
    checkpoint = load_checkpoint(path)
    training = checkpoint.training
    if training is None:
        raise InputError(f"{path} holds no training state and can't be resumed")
    try:
        return Resumable(
            checkpoint=checkpoint,
            state=RunState.from_plain(training["state"]),
            optimizer=training["optimizer"],
            random=training["random"],
            total_steps=training["total_steps"],
            train_data=training["train_data"],
        )
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise InputError(
            f"the training state in {path} is incomplete ({type(error).__name__}: {error})"
        ) from error


def interrupted_after(checkpoint: Path) -> tuple[int, int] | None:
    """Steps done and planned of an interrupted run with this output; None where there is none. Of one that
    may end early, it can't be told."""
    try:
        found = load_resumable(last_path(checkpoint))
    except InputError:
        return None
    ends_early = found.checkpoint.config.get("train", {}).get("patience") is not None
    done = found.state.step
    return None if ends_early or done >= found.total_steps else (done, found.total_steps)


def check_same_run(found: Resumable, config: dict[str, Any], processes: int, train_data: str) -> list[str]:
    """Compares a run on disk with the one asked for.

    Args:
        config: the resolved configuration as plain data, as checkpoints store it.
        train_data: fingerprint of the training split.
    Returns:
        the keys that differ and may, although the result then can differ in its last bits.
    Raises:
        UsageError: something differs that an exact continuation needs; all of it is named.
    """
    changed = differences(found.checkpoint.config, config)
    allowed = free_keys(TrainCommand) | _INEXACT
    problems = [f"{key} ({change})" for key, change in changed.items() if key not in allowed]
    if len(found.random) != processes:
        problems.append(f"number of processes ({len(found.random)} → {processes})")
    if found.train_data != train_data:
        problems.append("the training data")
    if problems:
        raise UsageError(
            f"the run can't be resumed with other settings: {', '.join(problems)}; "
            "change them back, or start anew without --resume"
        )
    return [key for key in changed if key in _INEXACT]


def load_weights(model: nn.Module, start: Checkpoint) -> None:
    """Gives the model the weights to go on from.

    Raises:
        InputError: they don't fit: the code of a custom model has changed.
    """
    try:
        fill(model, start.state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"the weights to start from don't fit the model any more: {reason}") from error


def restore(found: Resumable, learner: Learner, world: World) -> RunState:
    """Puts back optimizer and random state of the run to resume, and gives its position.

    Raises:
        InputError: they are damaged.
    """
    try:
        learner.optimizer.load_state_dict(found.optimizer)
        set_random_state(found.random[world.rank])
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"the training state to resume from is damaged ({error})") from error
    state = found.state
    if not world.is_main:
        state.meter = Meter()
    return state


def prepare_to_go_on(
    found: Resumable,
    schedule: ScheduleConfig,
    total_steps: int,
    output: Path,
    reporter: Reporter,
) -> None:
    """Tells the user how the run goes on, and brings its state in line with that."""
    state = found.state
    state.drop_unfinished_record()
    if state.best is not None and not output.is_file():
        reporter.warn(f"{output} is gone; the best weights are chosen from the epochs still to come")
        state.best = None
    if depends_on_length(schedule) and total_steps != found.total_steps:
        reporter.warn(
            f"the {schedule.name} schedule now ends at step {total_steps}, not {found.total_steps}: "
            "from here on the learning rate is not what one uninterrupted run would have had"
        )
    reporter.info(f"resuming after step {state.step} of {total_steps}")


def warn_inexact(keys: list[str], reporter: Reporter) -> None:
    """Names the settings that changed and may, as `check_same_run` gives them."""
    if keys:
        reporter.warn(
            f"{', '.join(keys)} changed: the result can differ slightly from an uninterrupted run's"
        )
