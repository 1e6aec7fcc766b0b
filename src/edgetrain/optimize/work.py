"""A model on its way through a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..artifacts.checkpoint import Checkpoint, save_checkpoint
from ..artifacts.transforms import Observers, Transform
from ..config.stages import OptimizeCommand
from ..data import Dataset, load_dataset
from ..data.checks import check_fits
from ..errors import UsageError
from ..factories import Trusted
from ..models.states import tensors_of
from ..models.transforms.observers import float_checkpoint
from ..models.trusted import load_trusted_model
from ..reporting import Reporter
from ..tasks import Task, make_task

# Of random samples, where a step only follows shapes.
_EXAMPLES = 2


@dataclass(frozen=True)
class Work:
    """A model, and what its steps need.

    Attributes:
        checkpoint: the model as data; its state is that of `model`.
        model: the same, built and filled; a step changes it.
        dataset: prepared as the model wants it; None where none is named.
        trusted: the code that the caller vouches for.
    """

    config: OptimizeCommand
    checkpoint: Checkpoint
    model: nn.Module
    task: Task
    dataset: Dataset | None
    trusted: Trusted
    reporter: Reporter

    @property
    def example(self) -> dict[str, Tensor]:
        """Inputs of two samples by name: the first of the training split, or random ones."""
        if self.dataset is not None:
            return self.samples(_EXAMPLES)
        generator = torch.Generator().manual_seed(0)
        return {
            name: torch.randn(_EXAMPLES, *spec.shape, generator=generator)
            if spec.dtype == "float32"
            else torch.zeros(_EXAMPLES, *spec.shape, dtype=torch.int64)
            for name, spec in self.checkpoint.inputs.items()
        }

    @property
    def is_observed(self) -> bool:
        """Whether the model computes with the rounding of its int8 program."""
        return any(isinstance(transform, Observers) for transform in self.checkpoint.transforms)

    def as_float(self) -> Work:
        """The float model, with the weights that it learned under rounding, if it did."""
        if not self.is_observed:
            return self
        checkpoint = float_checkpoint(self.checkpoint)
        return self.reloaded(checkpoint, Path(checkpoint.model.name))

    def samples(self, count: int) -> dict[str, Tensor]:
        """Inputs of the first samples of the training split, as the model takes them.

        Raises:
            UsageError: no data is named.
        """
        split = self.data("samples").train
        stored = split.inputs(torch.arange(min(count, len(split))))
        specs = self.checkpoint.inputs
        return {name: specs[name].preprocessing.apply(stored[name]).contiguous() for name in specs}

    def data(self, why: str) -> Dataset:
        """The data set.

        Raises:
            UsageError: none is named.
        """
        if self.dataset is None:
            raise UsageError(f"{why} need data; name it with --data, and with --data-dir where it lies")
        return self.dataset

    def changed(self, model: nn.Module, transforms: Sequence[Transform]) -> Work:
        """After a step that changed the model."""
        state = {name: tensor.detach().clone() for name, tensor in tensors_of(model).items()}
        done = (*self.checkpoint.transforms, *transforms)
        return replace(self, model=model, checkpoint=replace(self.checkpoint, state=state, transforms=done))

    def reloaded(self, checkpoint: Checkpoint, source: Path) -> Work:
        """With a checkpoint in place of the model.

        Raises:
            InputError: its state doesn't fit its model.
        """
        return replace(
            self,
            model=load_trusted_model(checkpoint, self.trusted, source=str(source)),
            checkpoint=checkpoint,
        )

    def save(self, path: Path) -> None:
        """Writes the model as a checkpoint."""
        save_checkpoint(path, replace(self.checkpoint, training=None))


def open_work(
    config: OptimizeCommand,
    checkpoint: Checkpoint,
    source: Path,
    trusted: Trusted,
    reporter: Reporter,
    *,
    with_data: bool = True,
) -> Work:
    """A checkpoint's model, built, with its data.

    Args:
        source: the checkpoint's file, for messages.
        with_data: whether `config.data` is there.
    Raises:
        InputError: the checkpoint, or data, is unusable, or doesn't fit.
    """
    task = make_task(checkpoint.task, trusted, source=str(source))
    dataset = None
    if with_data:
        dataset = load_dataset(config.data, reporter, program=checkpoint.inputs)
        check_fits(dataset, checkpoint.inputs, task.check_targets, task.spec.classes, checkpoint.targets)
        dataset = dataset.ignoring(task.spec.ignore_index)
    return Work(
        config,
        checkpoint,
        load_trusted_model(checkpoint, trusted, source=str(source)),
        task,
        dataset,
        trusted,
        reporter,
    )
