"""What a table of operators is made of, and the net around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from lab import Lab, subject_for
from torch import Tensor, nn

from edgetrain.artifacts.specs import InputSpec

# Numbers that a sample has for all operators.
NUMBERS = 256
# How many ids a sample has, and how many kinds there are.
IDS, KINDS = 6, 7
INPUTS = {"x": InputSpec(shape=(NUMBERS,)), "ids": InputSpec(shape=(IDS,), dtype="int64")}
Given = Literal["any", "positive", "unit"]


@dataclass(frozen=True)
class Use:
    """One way to call an operator.

    Attributes:
        shape: of what it takes of a sample, from the layer in front of it.
        make: makes what is called with that, and with ids [B, 6] where it takes such.
        given: which numbers it takes: any, those above 0.1, or those between 0.1 and 0.9.
    """

    shape: tuple[int, ...]
    make: Callable[[], Callable[..., Tensor]]
    given: Given = "any"
    ids: bool = False


def layer(shape: tuple[int, ...], kind: Callable[..., nn.Module], *args: Any, **settings: Any) -> Use:
    """A module."""
    return Use(shape, lambda: kind(*args, **settings))


def call(shape: tuple[int, ...], function: Callable[..., Tensor], **settings: Any) -> Use:
    """A function."""
    return Use(shape, lambda: function, **settings)


def calls(shape: tuple[int, ...], *functions: Callable[..., Tensor], **settings: Any) -> list[Use]:
    """Functions."""
    return [call(shape, function, **settings) for function in functions]


@dataclass(frozen=True)
class Operator:
    """An operator, called in several ways.

    Attributes:
        name: for people.
        refused: what export says of it, in part, where it can't be trained.
        settings: of its export.
        daily: looked at in the tests of every day.
    """

    name: str
    uses: Sequence[Use]
    refused: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    daily: bool = False


class Branch(nn.Module):
    """An operator between trained factors: [B, N], ids [B, 6] → [B]."""

    def __init__(self, use: Use) -> None:
        super().__init__()
        self.shape, self.given, self.ids = use.shape, use.given, use.ids
        self.front = nn.Parameter(torch.rand(use.shape) + 0.5)
        self.operator = use.make()
        with torch.no_grad():
            result = self._operated(torch.randn(2, NUMBERS), torch.arange(2 * IDS).reshape(2, IDS) % KINDS)
        self.behind = nn.Parameter(torch.rand(result[0].numel()) + 0.5)

    def forward(self, x: Tensor, ids: Tensor | None) -> Tensor:
        return (self._operated(x, ids).reshape(-1, len(self.behind)) * self.behind).mean(1)

    def _operated(self, x: Tensor, ids: Tensor | None) -> Tensor:
        y = x[:, : self.front.numel()].reshape(-1, *self.shape) * self.front
        if self.given == "positive":
            y = y * y + 0.1
        elif self.given == "unit":
            y = 0.1 + 0.8 * torch.sigmoid(y)
        return self.operator(y, ids) if self.ids else self.operator(y)


class Net(nn.Module):
    """Uses of operators side by side: [B, N], ids [B, 6] → [B, uses]. Whatever is wrong with one shows in the
    gradients of its own factors."""

    def __init__(self, uses: Sequence[Use]) -> None:
        super().__init__()
        self.uses = nn.ModuleList(Branch(use) for use in uses)
        self.kinds = nn.Embedding(KINDS, 1) if any(use.ids for use in uses) else None

    def forward(self, x: Tensor, ids: Tensor | None = None) -> Tensor:
        y = torch.stack([use(x, ids) for use in self.uses], 1)
        return y if self.kinds is None else y + self.kinds(ids).mean(1)


def faults_of_uses(lab: Lab, uses: Sequence[Use], **settings: Any) -> list[str]:
    """What is wrong with a net of some uses.

    Raises:
        RefusedError: it can't be exported.
    """
    inputs = dict(list(INPUTS.items())[: 1 + any(use.ids for use in uses)])
    return lab.faults(subject_for(lambda: Net(uses), inputs, **settings))
