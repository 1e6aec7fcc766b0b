"""The three files of a run."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from ..artifacts.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ..artifacts.history import EpochRecord, History, load_history, save_history
from ..artifacts.kinds import Written
from ..artifacts.specs import InputSpec, TaskSpec, TensorSpec
from ..artifacts.transforms import Transform
from ..config.model import ModelConfig
from ..engine.hashing import weights_hash
from ..engine.memory import peak_rss_bytes
from ..engine.seeding import get_random_state
from ..errors import InputError
from ..models.states import tensors_of
from .learner import Learner, merge
from .run_state import RunState


@dataclass
class RunStore:
    """Writes a run's files: the best weights, the last weights with all that resuming needs, the history.

    Every process calls the methods, since some of what is saved is gathered from all; rank 0 writes.

    Attributes:
        output: the best checkpoint.
        model: the architecture, without pretrained weights.
        history: everything but its epochs, which come from the run's state.
        config: the resolved configuration as plain data.
        train_data: fingerprint of the training split.
        transforms: what was done to the model since its code built it.
    """

    output: Path
    model: ModelConfig
    inputs: dict[str, InputSpec]
    targets: dict[str, TensorSpec]
    task: TaskSpec
    config: dict[str, Any]
    history: History
    train_data: str
    is_main: bool = True
    transforms: tuple[Transform, ...] = ()

    @property
    def last(self) -> Path:
        """Where the resumable state lies."""
        return last_path(self.output)

    def save_best(self, model: nn.Module, record: EpochRecord) -> None:
        """Replaces the best checkpoint by the weights of an epoch, with its figures."""
        if self.is_main:
            save_checkpoint(self.output, self._checkpoint(model, _figures(record)))

    def check_best(self, state: RunState, last: Checkpoint) -> None:
        """Makes sure that the best checkpoint is this run's, before it goes on.

        A run that was killed may have saved its state and not yet the best weights; the state has them then.
        A file that is gone is no fault: the best is chosen among what is still to come.

        Raises:
            InputError: it is damaged, or another run's.
        """
        if state.best is None or not self.output.is_file():
            return
        with contextlib.suppress(InputError):
            if weights_hash(load_checkpoint(self.output).state) == state.best_weights:
                return
        if weights_hash(last.state) != state.best_weights:
            raise InputError(
                f"{self.output} is damaged, or not the best checkpoint of the run in {self.last.name}; put "
                "that one back, delete the file so that the best is chosen among the epochs to come, or "
                "start anew without --resume"
            )
        if self.is_main:
            save_checkpoint(self.output, replace(last, training=None, metrics=_figures(state.best)))

    def save_last(self, learner: Learner, state: RunState, total_steps: int) -> None:
        """Replaces the resumable state, then the history."""
        world = learner.world
        plain = state.to_plain()
        # Sums of all processes; when resumed, rank 0 goes on with them and the others with none.
        plain["meter"] = vars(merge(state.meter, world)).copy()
        random = world.gather(get_random_state())
        if not self.is_main:
            return
        metrics = state.records[-1].model_dump() if state.records else {}
        checkpoint = self._checkpoint(learner.model, metrics)
        checkpoint.training = {
            "state": plain,
            "optimizer": learner.optimizer.state_dict(),
            "random": random,
            "total_steps": total_steps,
            "train_data": self.train_data,
        }
        save_checkpoint(self.last, checkpoint)
        self._save_history(state)

    def complete_history(self, state: RunState) -> None:
        """Replaces the history of a run that was killed before it could."""
        with contextlib.suppress(InputError):
            if load_history(history_path(self.output)).epochs == state.records:
                return
        self._save_history(state)

    def _save_history(self, state: RunState) -> None:
        self.history.epochs = list(state.records)
        self.history.best_epoch = None if state.best is None else state.best.epoch
        self.history.peak_rss_bytes = peak_rss_bytes()
        if self.is_main:
            save_history(history_path(self.output), self.history)

    def _checkpoint(self, model: nn.Module, metrics: dict[str, Any]) -> Checkpoint:
        return Checkpoint(
            model=self.model,
            state=tensors_of(model),
            inputs=self.inputs,
            targets=self.targets,
            task=self.task,
            metrics=metrics,
            config=self.config,
            transforms=self.transforms,
        )


def _figures(record: EpochRecord) -> dict[str, Any]:
    train, val = record.figures("train"), record.figures("val")
    return {
        "epoch": record.epoch,
        **{f"train_{name}": value for name, value in train.items()},
        **{f"val_{name}": value for name, value in val.items()},
    }


def output_files(output: Path) -> dict[Path, Written]:
    """Every file a run with this output writes, and what it holds."""
    return {
        output: "checkpoint",
        last_path(output): "state of a training run",
        history_path(output): "history",
    }


def last_path(output: Path) -> Path:
    """`model.last.pth` beside `model.pth`."""
    return output.with_name(f"{output.stem}.last.pth")


def history_path(output: Path) -> Path:
    """`model.history.json` beside `model.pth`."""
    return output.with_name(f"{output.stem}.history.json")
