"""Numbers that should be near their targets."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .numbers import NumberTask

_LOSSES = {"mse": functional.mse_loss, "l1": functional.l1_loss}


class Regression(NumberTask):
    """Outputs and targets float32 [B, ...] of one shape; the loss is the mean over all numbers."""

    name = "regression"
    losses = tuple(_LOSSES)

    def _loss(self, output: Tensor, target: Tensor) -> Tensor:
        return _LOSSES[self.spec.loss](output, target)

    def _random_target(self, output: Tensor, generator: torch.Generator) -> Tensor:
        return torch.randn(output.shape, generator=generator)
