"""A task: numbers near their targets, and how many of them are near enough."""

from __future__ import annotations

import torch
from torch import Tensor

from edgetrain.artifacts.contract import Metric
from edgetrain.tasks.base import COUNT
from edgetrain.tasks.numbers import NumberTask


class Closeness(NumberTask):
    """Outputs and targets float32 [B, 1]."""

    name = "closeness"
    losses = ("square",)
    metrics = (Metric(name="close", top="near", bottom=COUNT, better="higher", is_share=True),)
    best = ("close",)

    def _loss(self, output: Tensor, target: Tensor) -> Tensor:
        return ((output - target) ** 2).mean()

    def _sums(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"near": ((output - target).abs() < 0.5).to(torch.float32).sum()}

    def _random_target(self, output: Tensor, generator: torch.Generator) -> Tensor:
        return torch.randn(output.shape, generator=generator)
