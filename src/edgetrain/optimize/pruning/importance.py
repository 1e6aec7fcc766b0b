"""How much a weight matters, one number for each: the less, the sooner it is pruned."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from ...errors import UsageError
from ...models.calling import call_model
from ...tasks import Task
from ...tasks.outputs import named_outputs

Importance = Literal["magnitude", "l1", "taylor"]
#: A model → the mean loss of some samples, a scalar.
Loss = Callable[[nn.Module], Tensor]
Scores = Mapping[str, Tensor]


class Samples(Protocol):
    """Inputs and targets by name, [B, ...] each, as the batches of a `BatchLoader` are."""

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]


def losses_of(task: Task, batches: Iterable[Samples]) -> list[Loss]:
    """What `taylor` needs, of a task's batches."""

    def loss_of(batch: Samples) -> Loss:
        return lambda model: task.loss(named_outputs(call_model(model, batch.inputs)), batch.targets)

    return [loss_of(batch) for batch in batches]


def score_weights(model: nn.Module, importance: Importance, losses: Sequence[Loss] | None) -> Scores:
    """The importance of all parameters' elements, by the parameters' names, in their shapes.

    Args:
        losses: for `taylor`, one for each batch.
    Raises:
        UsageError: `taylor` without losses, or with some that are not finite.
    """
    if importance != "taylor":
        return {name: parameter.detach().abs() for name, parameter in model.named_parameters()}
    if not losses:
        raise UsageError("importance 'taylor' is measured on data: give it batches, or take 'magnitude'")
    return _taylor(model, losses)


def _taylor(model: nn.Module, losses: Sequence[Loss]) -> Scores:
    """|w dL/dw|, what the loss of a batch would change by to first order without w, as a mean over batches
    (Molchanov et al. 2019, arXiv 1906.10771)."""
    model = copy.deepcopy(model).eval()
    parameters = {name: parameter.requires_grad_(True) for name, parameter in model.named_parameters()}
    scores = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    for loss in losses:
        value = loss(model)
        if not bool(torch.isfinite(value)):
            raise UsageError("the loss that importance is measured by is not finite; give it other data")
        gradients = torch.autograd.grad(value, list(parameters.values()), allow_unused=True)
        for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
            if gradient is not None:
                scores[name] += (parameter.detach() * gradient).abs() / len(losses)
    return {name: score.detach() for name, score in scores.items()}
