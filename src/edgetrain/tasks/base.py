"""What every task offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from ..artifacts.contract import Metric
from ..artifacts.specs import TARGETS, TaskSpec, TensorSpec
from ..errors import UsageError
from ..factories import is_factory
from .outputs import main_output
from .own_loss import OwnLoss, Tensors

# Sums that every task returns: of the loss, and of what it is a mean over.
LOSS_SUM, COUNT = "loss_sum", "count"
LOSS = Metric(name="loss", top=LOSS_SUM, bottom=COUNT, better="lower")
# What to do where a model's outputs aren't what a task needs.
OTHER_TASK = "say what it learns: --task segmentation for a class of each pixel, --loss mse for numbers, ..."


class Task(ABC):
    """A task for one model. Most have one output and one target; what takes several overrides the methods
    without an underscore.

    What is captured in exported graphs (`loss`, `predictions`, `sums`) is made of tensor operations alone.

    Attributes:
        name: as in configurations.
        losses: names of the losses it can be learned by, the usual one first; one of the user's own may take
            their place.
        metrics: besides the loss.
        best: names of the metrics that decide which weights are best, the most important first.
        usual_ignored: class of targets that counts for nothing, where nobody names one; None where all count.
        class_dim: dimension of the main output that has one number per class; None where there is none.
        own_loss: the user's own, in place of one of `losses`.
    """

    name: ClassVar[str]
    losses: ClassVar[tuple[str, ...]]
    metrics: ClassVar[tuple[Metric, ...]] = ()
    best: ClassVar[tuple[str, ...]] = (LOSS.name,)
    usual_ignored: ClassVar[int | None] = None
    class_dim: ClassVar[int | None] = None

    def __init__(self, spec: TaskSpec) -> None:
        """
        Raises:
            UsageError: the user's own loss can't be made.
        """
        self.spec = spec
        self.own_loss = OwnLoss(spec.loss) if is_factory(spec.loss) else None

    def to(self, device: torch.device) -> None:
        """Moves what the task computes with (buffers of the user's own loss)."""
        if self.own_loss is not None:
            self.own_loss.module.to(device)

    @property
    def all_metrics(self) -> list[Metric]:
        """The loss, then the others."""
        return [LOSS, *self.metrics]

    # --- captured in graphs ---------------------------------------------------------------------------------

    def loss(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """float32 scalar: the mean over what `sums` counts, from float32 outputs and a batch of targets."""
        if self.own_loss is not None:
            return self.own_loss(outputs, targets)
        return self._loss(main_output(outputs), only_target(targets))

    def predictions(self, outputs: Tensors) -> dict[str, Tensor]:
        """What the outputs mean, by name; empty where they speak for themselves."""
        return {}

    def sums(self, outputs: Tensors, targets: Tensors, loss: Tensor) -> dict[str, Tensor]:
        """float32 sums over the batch that the metrics are made of, scalars or vectors."""
        output, target = main_output(outputs), only_target(targets)
        count = self._count(output, target)
        return {LOSS_SUM: loss * count, COUNT: count, **self._sums(output, target)}

    # --- shown to people ------------------------------------------------------------------------------------

    def probabilities(self, outputs: Tensors) -> Tensor | None:
        """float32 of the main output's shape: how sure the model is of each class or label; None where the
        outputs are plain numbers."""
        return None if self.class_dim is None else main_output(outputs).softmax(self.class_dim)

    # --- checks ---------------------------------------------------------------------------------------------

    @abstractmethod
    def check_targets(self, targets: Tensors, where: str = "") -> None:
        """Checks dtypes, shapes and values of whole columns of targets, [N, ...] each.

        Args:
            where: put before "sample" in messages, such as "train ".
        Raises:
            InputError: they don't fit; says what to do.
        """

    @abstractmethod
    def output_count(self, targets: Tensors) -> int:
        """How many numbers the model must give per sample (or per pixel, or token), as `num_classes`."""

    def check_outputs(self, outputs: Tensors, targets: Tensors, count: int) -> None:
        """Checks a batch of outputs against a batch of targets.

        Args:
            count: `output_count` of the whole data set.
        Raises:
            UsageError: they don't fit; says what is needed.
        """
        self._check_shapes(outputs, targets, count)
        if self.own_loss is not None:
            self.own_loss.check(outputs, targets)

    # --- verification ---------------------------------------------------------------------------------------

    def random_targets(
        self, outputs: Tensors, specs: Mapping[str, TensorSpec] | None, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Targets that such a batch of outputs could be trained with.

        Args:
            specs: the targets of the data the model was trained on; None where that is not known.
        Raises:
            CheckFailedError: the outputs have no form that this task can be learned with.
        """
        name = next(iter(specs or [TARGETS]))
        if self.own_loss is not None and (own := self.own_loss.random_targets(outputs, name, generator)):
            return own
        return {name: self._random_target(main_output(outputs), generator)}

    def value_bounds(self, outputs: Tensors) -> tuple[float | None, float | None, int | None]:
        """Least and most value of a target, and one that counts for nothing (outside of these)."""
        return None, None, None

    def prediction_error(self, predictions: Tensors, outputs: Tensors) -> float:
        """How far predictions are from those that the outputs ask for, relative to the largest output. What
        ties with the best is as good."""
        return 0.0

    # --- for tasks with one output and one target -----------------------------------------------------------

    def _loss(self, output: Tensor, target: Tensor) -> Tensor:
        raise NotImplementedError

    def _count(self, output: Tensor, target: Tensor) -> Tensor:
        return count_samples(target)

    def _sums(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {}

    def _check_shapes(self, outputs: Tensors, targets: Tensors, count: int) -> None:
        """Raises UsageError where the shape of the outputs is not the one that the targets need."""
        return

    def _random_target(self, output: Tensor, generator: torch.Generator) -> Tensor:
        raise NotImplementedError


def count_samples(tensor: Tensor) -> Tensor:
    """The length of dimension 0 as a float32 scalar."""
    return torch.full((tensor.shape[0],), 1.0, device=tensor.device).sum()


def only_target(targets: Tensors) -> Tensor:
    """The only target of a batch, or column.

    Raises:
        UsageError: there are several.
    """
    if len(targets) != 1:
        raise UsageError(
            f"this task has one target per sample, the data has {', '.join(targets) or 'none'}; choose one "
            "with --targets, or write a loss that takes all of them"
        )
    return next(iter(targets.values()))
