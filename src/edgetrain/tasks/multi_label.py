"""Labels that each apply or don't."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from ..artifacts.contract import Metric
from ..errors import InputError
from .base import COUNT, LOSS, Tensors, only_target
from .labels import shape_text
from .numbers import NumberTask
from .outputs import main_output

LABELS = "labels"


class MultiLabel(NumberTask):
    """Outputs float32 [B, ...], targets float32 of the same shape in 0..1. A sample is right by its share of
    right labels."""

    name = "multi-label"
    losses = ("bce_with_logits",)
    metrics = (Metric(name="accuracy", top="correct", bottom=COUNT, better="higher", is_share=True),)
    best = ("accuracy", LOSS.name)

    def _loss(self, output: Tensor, target: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(output, target)

    def predictions(self, outputs: Tensors) -> dict[str, Tensor]:
        return {LABELS: main_output(outputs) > 0}

    def probabilities(self, outputs: Tensors) -> Tensor:
        return main_output(outputs).sigmoid()

    def _sums(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        right = ((output > 0) == (target > 0.5)).to(torch.float32)
        return {"correct": right.sum() / math.prod(output.shape[1:])}

    def check_targets(self, targets: Tensors, where: str = "") -> None:
        super().check_targets(targets, where)
        values = only_target(targets)
        labels = self.spec.classes
        if labels is not None and tuple(values.shape[1:]) != (len(labels),):
            raise InputError(
                f"the targets of a {where}sample have the shape {shape_text(values.shape[1:])}, the model "
                f"predicts {len(labels)} labels"
            )
        bad = torch.nonzero((values < 0) | (values > 1))
        if len(bad):
            value = float(values[tuple(bad[0])])
            raise InputError(
                f"{where}sample {int(bad[0, 0])} has the target {value:g}; {self.spec.loss} needs 0 to 1"
            )

    def _random_target(self, output: Tensor, generator: torch.Generator) -> Tensor:
        return torch.randint(0, 2, output.shape, generator=generator).float()

    def value_bounds(self, outputs: Tensors) -> tuple[float | None, float | None, int | None]:
        return 0, 1, None

    def prediction_error(self, predictions: Tensors, outputs: Tensors) -> float:
        output = main_output(outputs)
        wrong = predictions[LABELS] != (output > 0)
        scale = max(output.abs().max().item(), 1e-30)
        return torch.where(wrong, output.abs(), torch.zeros_like(output)).max().item() / scale
