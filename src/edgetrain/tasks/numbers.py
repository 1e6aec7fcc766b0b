"""What regression and multi-label tasks share: float32 targets of the outputs' shape."""

from __future__ import annotations

import torch

from ..errors import InputError, UsageError
from .base import Task, Tensors, only_target
from .labels import batch_shape
from .outputs import main_output


class NumberTask(Task):
    """Outputs and targets float32 [B, ...] of one shape."""

    def check_targets(self, targets: Tensors, where: str = "") -> None:
        values = only_target(targets)
        if values.dtype != torch.float32:
            dtype = str(values.dtype).removeprefix("torch.")
            raise InputError(
                f"{self.spec.loss} needs float32 targets, the data's are {dtype}; use --loss cross_entropy "
                "for class labels, or store the targets as float32"
            )
        finite = torch.isfinite(values)
        if not bool(finite.all()):
            row = int(torch.nonzero(~finite)[0, 0])
            raise InputError(
                f"the {where}targets of sample {row} hold a NaN or infinite number; remove or repair the "
                "sample"
            )

    def output_count(self, targets: Tensors) -> int:
        return max(1, only_target(targets)[0].numel())

    def _check_shapes(self, outputs: Tensors, targets: Tensors, count: int) -> None:
        output, target = main_output(outputs), only_target(targets)
        if output.shape != target.shape:
            lacks_one = list(output.shape) == [*target.shape, 1]
            remedy = (
                "save the targets with a last dimension of 1, as targets[..., None]"
                if lacks_one
                else "use a model whose outputs have it, or other targets"
            )
            raise UsageError(
                f"the model's outputs have the shape {batch_shape(output.shape)}, but "
                f"{batch_shape(target.shape)} is needed as the targets of the loss {self.spec.loss} have it; "
                f"{remedy}"
            )
