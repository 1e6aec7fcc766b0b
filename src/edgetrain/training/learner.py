"""A model with its loss and optimizer: one training step, one validation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from ..artifacts.specs import Task
from ..data import Batch
from ..engine.losses import make_loss, predict_from_logits
from ..engine.metrics import Meter, count_correct
from ..engine.optimizers import set_learning_rate
from ..errors import UsageError
from .distributed import World


@dataclass(frozen=True)
class StepOutcome:
    """What forward and backward of one batch gave, in this process.

    Attributes:
        loss: mean over the samples.
        correct: right samples; None for a regression.
        samples: size of the batch; 0 for a dummy that only keeps the processes in step.
        grad_norm: 2-norm over all gradients.
    """

    loss: float
    correct: float | None
    samples: int
    grad_norm: float

    @property
    def is_finite(self) -> bool:
        """Whether an optimizer step may follow."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


class Learner:
    """Computes steps; knows nothing of epochs, files or schedules.

    Args:
        model: on `world.device` already.
        optimizer: over the model's parameters.
        autocast: dtype of the forward pass, None for float32.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        optimizer: torch.optim.Optimizer,
        world: World,
        autocast: torch.dtype | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.world = world
        self._task = task
        self._loss = make_loss(task)
        self._autocast = autocast
        self._averaging = world.wrap(model)
        self._parameters = [p for p in model.parameters() if p.requires_grad]

    def compute_gradients(self, batch: Batch) -> StepOutcome:
        """Forward and backward of one batch; parameters are left as they are.

        Raises:
            UsageError: the model can't be trained on this batch.
        """
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        targets = batch.targets.to(self.world.device, non_blocking=True)
        logits = self._forward(self._averaging, batch.inputs)
        loss = self._loss(logits, targets)
        (loss * batch.weight).backward()
        norm = torch.nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        correct = self._count(logits.detach(), targets)
        # One transfer from the device for all numbers.
        values = [loss.detach(), norm.to(loss.device)] + ([] if correct is None else [correct])
        numbers = torch.stack(values).tolist()
        return StepOutcome(
            loss=numbers[0],
            grad_norm=numbers[1],
            correct=None if correct is None else numbers[2],
            samples=_real_samples(batch),
        )

    def update(self, lr: float) -> None:
        """Applies the gradients."""
        set_learning_rate(self.optimizer, lr)
        self.optimizer.step()

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Batch]) -> Meter:
        """Mean loss and accuracy in eval mode, over the batches of all processes."""
        self.world.share_buffers(self.model)
        self.model.eval()
        meter = Meter()
        for batch in batches:
            targets = batch.targets.to(self.world.device, non_blocking=True)
            logits = self._forward(self.model, batch.inputs)
            correct = self._count(logits, targets)
            loss = float(self._loss(logits, targets))
            meter.add(loss, None if correct is None else float(correct), _real_samples(batch))
        return merge(meter, self.world)

    @torch.no_grad()
    def predict(self, inputs: torch.Tensor) -> torch.Tensor:
        """The model's outputs in eval mode, float32."""
        self.model.eval()
        return self._forward(self.model, inputs)

    def _forward(self, model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        device = self.world.device
        try:
            with torch.autocast(device.type, dtype=self._autocast, enabled=self._autocast is not None):
                logits = model(inputs.to(device, non_blocking=True))
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise UsageError(
                "batch norm can't be trained on a batch of one sample; choose another --batch-size"
            ) from error
        if not isinstance(logits, torch.Tensor):
            raise UsageError(f"the model must return one tensor, but returned {type(logits).__name__}")
        return logits.float()

    def _count(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor | None:
        return count_correct(self._task, predict_from_logits(self._task, logits), targets)


def merge(meter: Meter, world: World) -> Meter:
    """One meter over the samples of all processes."""
    if world.size == 1:
        return meter
    correct = 0.0 if meter.correct is None else meter.correct
    loss_sum, correct, samples, judged = world.sum(
        [meter.loss_sum, correct, meter.samples, float(meter.correct is not None)]
    )
    return Meter(loss_sum, correct if judged else None, int(samples))


def _real_samples(batch: Batch) -> int:
    return len(batch.inputs) if batch.weight > 0 else 0
