"""Training steps of a loaded program: by the optimizer that is part of it, or by one outside."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from ..artifacts.run_state import FIRST, SECOND
from ..config.optimizer import OptimizerConfig
from ..engine.optimizers import (
    Moments,
    clip_gradients,
    hyperparameters,
    make_optimizer,
    moments_of,
    restore_moments,
    set_learning_rate,
)
from ..engine.program_optimizer import why_outside
from .base import GraphSession, Outcome, Session, Tensors
from .parts import Batches, counted, parts_of, run_in_parts


class Stepper(ABC):
    """Makes the steps of one optimizer.

    The gradient of a step is that of the mean loss over all its batches: each counts by what its own loss is
    a mean over. Where nothing counts it is 0.

    Attributes:
        gradients: of the last step, by parameter name; empty where the program keeps them to itself.
    """

    def __init__(self) -> None:
        self.gradients: dict[str, Tensor] = {}

    @abstractmethod
    def step(self, batches: Batches, lr: float) -> list[Outcome]:
        """One step.

        Args:
            batches: inputs and targets; several add up.
        Returns:
            what each batch gave before the update.
        """

    @abstractmethod
    def moments(self) -> Moments:
        """What a run that goes on from here needs of the optimizer; not copied."""


def make_stepper(
    session: Session, config: OptimizerConfig, accumulate: int = 1, moments: Moments | None = None
) -> Stepper:
    """Steps by the program's own optimizer where it does what is asked for, else by one outside.

    Args:
        accumulate: the most batches that will make a step.
        moments: of the run that is gone on with.
    """
    inside = why_outside(session.contract, config, accumulate) is None
    if inside and isinstance(session, GraphSession):
        return StepperInGraph(session, config, moments)
    return StepperOutside(session, config, moments)


class StepperInGraph(Stepper):
    """Steps by the program's own optimizer, whose state lies in the program's memory."""

    def __init__(
        self, session: GraphSession, config: OptimizerConfig, moments: Moments | None = None
    ) -> None:
        super().__init__()
        self._session = session
        self._config = config
        self._start = moments or Moments()
        self._steps = self._start.steps
        kept = {
            **{FIRST + name: tensor for name, tensor in self._start.first.items()},
            **{SECOND + name: tensor for name, tensor in self._start.second.items()},
        }
        for name, state in session.states.items():
            if name in kept:
                state.copy_(kept[name])
            else:
                state.zero_()

    def step(self, batches: Batches, lr: float) -> list[Outcome]:
        given = hyperparameters(self._config, self._steps + 1, lr)
        if self._session.contract.splits_batches:
            outcomes = self._step_in_parts(batches, given)
        else:
            ((inputs, targets),) = batches
            outcomes = [self._session.train(inputs, targets, given)]
        self._steps += 1
        return outcomes

    def _step_in_parts(self, batches: Batches, given: dict[str, float]) -> list[Outcome]:
        added = 0

        def add(inputs: Tensors, targets: Tensors) -> Outcome:
            nonlocal added
            added += 1
            return self._session.train(inputs, targets, {"keep": float(added > 1)})

        outcomes, total = run_in_parts(self._session.contract, batches, add)
        self._session.update({**given, "divisor": total or 1.0})
        return outcomes

    def moments(self) -> Moments:
        if self._steps == self._start.steps:
            return self._start
        return Moments(self._steps, self._states(FIRST), self._states(SECOND))

    def _states(self, prefix: str) -> dict[str, Tensor]:
        states = self._session.states.items()
        return {name.removeprefix(prefix): state for name, state in states if name.startswith(prefix)}


class StepperOutside(Stepper):
    """Steps of torch.optim, in place on the memory that the program computes with."""

    def __init__(self, session: Session, config: OptimizerConfig, moments: Moments | None = None) -> None:
        super().__init__()
        self._session = session
        self._config = config
        self._start = moments or Moments()
        self._steps = self._start.steps
        self._parameters = {name: nn.Parameter(tensor) for name, tensor in session.parameters.items()}
        self._optimizer = make_optimizer(config, self._parameters.items())
        restore_moments(config, self._optimizer, self._parameters, self._start)

    def step(self, batches: Batches, lr: float) -> list[Outcome]:
        """With a limit on their norm, the gradients are shortened in place."""
        outcomes, self.gradients = mean_gradients(self._session, batches)
        for name, parameter in self._parameters.items():
            parameter.grad = self.gradients[name]
        clip_gradients(self._config, self._parameters.values())
        set_learning_rate(self._optimizer, lr)
        self._optimizer.step()
        self._steps += 1
        return outcomes

    def moments(self) -> Moments:
        if self._steps == self._start.steps:
            return self._start
        return moments_of(self._config, self._optimizer, self._parameters, self._steps)


def mean_gradients(session: Session, batches: Batches) -> tuple[list[Outcome], dict[str, Tensor]]:
    """Forward and backward of all batches: what each gave, and the gradients of the mean loss over them, by
    parameter name, valid until the session's next call."""
    contract = session.contract
    if len(batches) == 1 and len(list(parts_of(contract, *batches[0]))) == 1:
        return [session.forward_backward(*batches[0])], session.gradients
    gradients: dict[str, Tensor] = {}

    def add(inputs: Tensors, targets: Tensors) -> Outcome:
        outcome = session.forward_backward(inputs, targets)
        count = counted(contract, outcome)
        for name, gradient in session.gradients.items():
            share = gradient * count
            gradients[name] = gradients[name].add_(share) if name in gradients else share
        return outcome

    outcomes, total = run_in_parts(contract, batches, add)
    for gradient in gradients.values():
        gradient.div_(total or 1.0)
    return outcomes, gradients


def gradients_of(session: Session, batch: tuple[Tensors, Tensors]) -> dict[str, Tensor]:
    """Copies of a batch's gradients, by parameter name. Nothing the program goes on with is changed."""
    with session.statistics_kept():
        _, gradients = mean_gradients(session, [batch])
        return {name: gradient.clone() for name, gradient in gradients.items()}
