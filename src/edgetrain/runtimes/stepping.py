"""Training steps over the live memory of a loaded program."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..config.optimizer import OptimizerConfig
from ..engine.optimizers import (
    Moments,
    clip_gradients,
    make_optimizer,
    moments_of,
    restore_moments,
    set_learning_rate,
)
from .base import Outcome, Session, Tensors


class Stepper:
    """Makes steps of one optimizer. torch.optim works in place on the memory the program computes with.

    Args:
        moments: of the run that is gone on with.

    Attributes:
        gradients: of the step under way, by parameter name.
    """

    def __init__(self, session: Session, config: OptimizerConfig, moments: Moments | None = None) -> None:
        self._session = session
        self._config = config
        self._moments = moments or Moments()
        self._steps = self._moments.steps
        self._optimizer: torch.optim.Optimizer | None = None
        self._parameters: dict[str, nn.Parameter] = {}
        self.gradients: dict[str, Tensor] = {}

    def forward_backward(self, batches: Sequence[tuple[Tensors, Tensors]]) -> list[Outcome]:
        """Forward and backward of the batches (inputs and targets) that make one step.

        The step's gradient is that of the mean loss over all of them: each batch counts by what its own loss
        is a mean over, such as samples, or labels that aren't ignored. Where nothing counts it is 0.
        """
        if len(batches) == 1:
            outcome = self._session.train(*batches[0])
            self.gradients = self._session.gradients
            return [outcome]
        outcomes, total = [], 0.0
        counted = self._session.contract.metrics[0].bottom
        self.gradients = {}
        for inputs, targets in batches:
            outcome = self._session.train(inputs, targets)
            outcomes.append(outcome)
            count = outcome.sums[counted].item()
            total += count
            for name, gradient in self._session.gradients.items():
                share = gradient * count
                self.gradients[name] = self.gradients[name].add_(share) if name in self.gradients else share
        if total:
            for gradient in self.gradients.values():
                gradient.div_(total)
        return outcomes

    def update(self, lr: float) -> None:
        """One step by the gradients; with a limit on their norm, these are shortened in place."""
        if self._optimizer is None:
            self._optimizer = self._make_optimizer()
        for name, parameter in self._parameters.items():
            parameter.grad = self.gradients[name]
        clip_gradients(self._config, self._parameters.values())
        set_learning_rate(self._optimizer, lr)
        self._optimizer.step()
        self._steps += 1

    def moments(self) -> Moments:
        """What a run that goes on from here needs of the optimizer; not copied."""
        if self._optimizer is None:
            return self._moments
        return moments_of(self._config, self._optimizer, self._parameters, self._steps)

    def _make_optimizer(self) -> torch.optim.Optimizer:
        live = self._session.parameters
        self._parameters = {name: nn.Parameter(tensor) for name, tensor in live.items()}
        optimizer = make_optimizer(self._config, self._parameters.items())
        restore_moments(self._config, optimizer, self._parameters, self._moments)
        return optimizer
