"""One class per sample."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..artifacts.contract import Metric
from ..errors import CheckFailedError, UsageError
from .base import COUNT, LOSS, OTHER_TASK, Task, Tensors, only_target
from .labels import batch_shape, check_labels, count_classes, label_error, random_labels
from .outputs import main_output

CLASS = "class"


class Classification(Task):
    """Outputs float32 [B, K], targets int64 [B]."""

    name = "classification"
    class_dim = 1
    losses = ("cross_entropy",)
    metrics = (Metric(name="accuracy", top="correct", bottom=COUNT, better="higher", is_share=True),)
    best = ("accuracy", LOSS.name)

    def _loss(self, output: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(output, target, label_smoothing=self.spec.label_smoothing)

    def predictions(self, outputs: Tensors) -> dict[str, Tensor]:
        return {CLASS: main_output(outputs).argmax(self.class_dim)}

    def _sums(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"correct": (output.argmax(1) == target).to(torch.float32).sum()}

    def check_targets(self, targets: Tensors, where: str = "") -> None:
        check_labels(
            only_target(targets),
            None if self.spec.classes is None else len(self.spec.classes),
            where,
            dims=(1, "one label per sample"),
            learner=self.spec.loss,
            ignored=None,
        )

    def output_count(self, targets: Tensors) -> int:
        return count_classes(only_target(targets), self.spec.classes, None)

    def _check_shapes(self, outputs: Tensors, targets: Tensors, count: int) -> None:
        output = main_output(outputs)
        if list(output.shape) != [len(only_target(targets)), count]:
            raise UsageError(
                f"the model's outputs have the shape {batch_shape(output.shape)}, but [B, {count}] is needed "
                f"for {count} classes"
            )

    def _random_target(self, output: Tensor, generator: torch.Generator) -> Tensor:
        if output.dim() != 2:
            raise CheckFailedError(
                f"{self.spec.loss} needs outputs [B, classes], the model gives {list(output.shape)}; "
                f"{OTHER_TASK}"
            )
        return random_labels(output, 1, generator)

    def value_bounds(self, outputs: Tensors) -> tuple[float | None, float | None, int | None]:
        return 0, main_output(outputs).shape[1] - 1, None

    def prediction_error(self, predictions: Tensors, outputs: Tensors) -> float:
        return label_error(predictions[CLASS], main_output(outputs), self.class_dim)
