"""Whatever a loss of the user's own makes of outputs and targets."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..artifacts.specs import TARGETS, TensorSpec
from ..errors import CheckFailedError, InputError
from .base import COUNT, LOSS_SUM, Task, Tensors, count_samples
from .labels import count_classes
from .outputs import main_output


class Custom(Task):
    """Any outputs, any number of targets; the loss is the only metric.

    What `--loss package.module:factory` is for where no task is named with `--task`, which would bring its
    predictions, metrics and checks.
    """

    name = "custom"
    losses = ()

    def sums(self, outputs: Tensors, targets: Tensors, loss: Tensor) -> dict[str, Tensor]:
        count = count_samples(next(iter(targets.values())))
        return {LOSS_SUM: loss * count, COUNT: count}

    def check_targets(self, targets: Tensors, where: str = "") -> None:
        for name, values in targets.items():
            if values.is_floating_point() and not bool(torch.isfinite(values).all()):
                row = int(torch.nonzero(~torch.isfinite(values))[0, 0])
                raise InputError(
                    f"{where}sample {row} has a NaN or infinite number in {name}; remove or repair the sample"
                )

    def output_count(self, targets: Tensors) -> int:
        values = next(iter(targets.values()))
        if self.spec.classes or values.dtype == torch.int64:
            return count_classes(values, self.spec.classes, None)
        return max(1, values[0].numel())

    def random_targets(
        self, outputs: Tensors, specs: Mapping[str, TensorSpec] | None, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Its own, else normally distributed numbers; integers are 0 or 1."""
        name = next(iter(specs or [TARGETS]))
        if self.own_loss is not None and (own := self.own_loss.random_targets(outputs, name, generator)):
            return own
        if specs is None:
            raise CheckFailedError(
                f"nothing says what targets the loss {self.spec.loss} takes; give its module a method "
                "random_targets(outputs, generator)"
            )
        size = len(main_output(outputs))
        return {
            name: torch.randn(size, *spec.shape, generator=generator)
            if spec.dtype == "float32"
            else torch.randint(0, 2, (size, *spec.shape), generator=generator)
            for name, spec in specs.items()
        }
