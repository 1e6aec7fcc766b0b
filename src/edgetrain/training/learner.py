"""A model with its task and optimizer: one training step, one validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..config.optimizer import OptimizerConfig
from ..data import Batch
from ..engine.metrics import Meter
from ..engine.optimizers import clip_gradients, set_learning_rate
from ..errors import UsageError
from ..models.calling import arrange_inputs
from ..tasks import Task
from ..tasks.base import COUNT
from ..tasks.outputs import named_outputs
from .distributed import World

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class StepOutcome:
    """What forward and backward of one batch gave, in this process.

    Attributes:
        loss: its mean.
        sums: what the task's metrics are made of, on the CPU.
        samples: size of the batch; 0 for a dummy that only keeps the processes in step.
        grad_norm: 2-norm over all gradients, before they are clipped.
    """

    loss: float
    sums: dict[str, Tensor]
    samples: int
    grad_norm: float

    @property
    def is_finite(self) -> bool:
        """Whether an optimizer step may follow."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


class Learner:
    """Computes steps; knows nothing of epochs, files or schedules.

    Several processes together take the step of one with their batches put together, dropout and batch norm
    aside: the loss is a mean over what the task counts (samples, or pixels and tokens that are not ignored),
    and each process's mean is weighted by how many of them it has.

    Args:
        model: on `world.device` already.
        optimizer: over the model's parameters, made from `settings`.
        autocast: dtype of the forward pass, None for float32.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        optimizer: torch.optim.Optimizer,
        settings: OptimizerConfig,
        world: World,
        autocast: torch.dtype | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.world = world
        self._task = task
        self._settings = settings
        self._autocast = autocast
        self._averaging = world.wrap(model)
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        task.to(world.device)

    def compute_gradients(self, batch: Batch) -> StepOutcome:
        """Forward and backward of one batch; parameters are left as they are.

        Raises:
            UsageError: the model can't be trained on this batch.
        """
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        targets = self._on_device(batch.targets)
        outputs = self._forward(self._averaging, batch.inputs)
        loss = self._task.loss(outputs, targets)
        sums = self._sums(outputs, targets, loss)
        count = sums[COUNT] if _is_real(batch) else torch.zeros_like(sums[COUNT])
        (loss * self.world.share(count)).backward()
        norm = clip_gradients(self._settings, self._parameters)
        if norm is None:
            norm = torch.nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        loss_value, grad_norm, *values = _to_cpu([loss, norm, *sums.values()])
        return StepOutcome(
            loss=float(loss_value),
            sums=dict(zip(sums, values, strict=True)),
            samples=len(batch) if _is_real(batch) else 0,
            grad_norm=float(grad_norm),
        )

    def update(self, lr: float) -> None:
        """Applies the gradients."""
        set_learning_rate(self.optimizer, lr)
        self.optimizer.step()

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Batch]) -> Meter:
        """The task's metrics in eval mode, over the batches of all processes."""
        self.world.share_buffers(self.model)
        self.model.eval()
        meter = Meter()
        for batch in batches:
            targets = self._on_device(batch.targets)
            outputs = self._forward(self.model, batch.inputs)
            sums = self._sums(outputs, targets, self._task.loss(outputs, targets))
            meter.add(sums, len(batch) if _is_real(batch) else 0)
        return merge(meter, self.world)

    @torch.no_grad()
    def predict(self, inputs: Tensors) -> dict[str, Tensor]:
        """The model's outputs in eval mode, by name."""
        self.model.eval()
        return self._forward(self.model, inputs)

    def _forward(self, model: Callable[..., Any], inputs: Tensors) -> dict[str, Tensor]:
        """Runs the model, or its wrapping that averages gradients, whose signature says nothing."""
        device = self.world.device
        arguments, keywords = arrange_inputs(self.model, self._on_device(inputs))
        try:
            with torch.autocast(device.type, dtype=self._autocast, enabled=self._autocast is not None):
                returned = model(*arguments, **keywords)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise UsageError(
                "batch norm can't be trained on a batch of one sample; choose another --batch-size"
            ) from error
        return named_outputs(returned)

    def _sums(self, outputs: Tensors, targets: Tensors, loss: Tensor) -> dict[str, Tensor]:
        detached = {name: tensor.detach() for name, tensor in outputs.items()}
        return self._task.sums(detached, targets, loss.detach())

    def _on_device(self, tensors: Tensors) -> dict[str, Tensor]:
        return {name: t.to(self.world.device, non_blocking=True) for name, t in tensors.items()}


def merge(meter: Meter, world: World) -> Meter:
    """One meter over the samples of all processes."""
    if world.size == 1:
        return meter
    merged = Meter()
    for part in world.gather(meter):
        sums = {name: torch.tensor(values, dtype=torch.float64) for name, values in part.sums.items()}
        merged.add(sums, part.samples)
    return merged


def _is_real(batch: Batch) -> bool:
    """Whether a batch counts, rather than only keeping the processes in step."""
    return batch.weight > 0


def _to_cpu(tensors: list[Tensor]) -> list[Tensor]:
    """All of them with one transfer from the device, in their shapes."""
    device = tensors[0].device
    flat = torch.cat([tensor.detach().to(device).flatten() for tensor in tensors]).cpu()
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]
