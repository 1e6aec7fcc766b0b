"""What segmentation and token tasks share: a class for every position of a sample."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ..errors import CheckFailedError, UsageError
from .base import OTHER_TASK, Task, Tensors, only_target
from .labels import (
    batch_shape,
    check_labels,
    count_classes,
    cross_entropy,
    is_valid,
    label_error,
    random_labels,
)
from .outputs import main_output


class DenseTask(Task):
    """Outputs float32 with the classes along `class_dim`, targets int64 of the outputs' shape without it.

    Positions whose label is the ignored one count for nothing: not in the loss, nor in any metric.

    Attributes:
        prediction: what the predicted classes are called.
        layout: the targets' form, for messages.
    """

    losses = ("cross_entropy",)
    class_dim: ClassVar[int]
    output_dims: ClassVar[int]
    prediction: ClassVar[str]
    layout: ClassVar[str]

    def predictions(self, outputs: Tensors) -> dict[str, Tensor]:
        return {self.prediction: main_output(outputs).argmax(self.class_dim)}

    def _loss(self, output: Tensor, target: Tensor) -> Tensor:
        valid = is_valid(target, self.spec.ignore_index)
        return cross_entropy(output, target, valid, self.class_dim, self.spec.label_smoothing)

    def _count(self, output: Tensor, target: Tensor) -> Tensor:
        return is_valid(target, self.spec.ignore_index).sum()

    def _right(self, output: Tensor, target: Tensor) -> Tensor:
        """float32 of the targets' shape: 1 where the prediction is right and counts."""
        right = (output.argmax(self.class_dim) == target).to(torch.float32)
        return right * is_valid(target, self.spec.ignore_index)

    def check_targets(self, targets: Tensors, where: str = "") -> None:
        check_labels(
            only_target(targets),
            None if self.spec.classes is None else len(self.spec.classes),
            where,
            dims=(self.output_dims - 1, self.layout),
            learner=f"the task {self.name}",
            ignored=self.spec.ignore_index,
        )

    def output_count(self, targets: Tensors) -> int:
        return count_classes(only_target(targets), self.spec.classes, self.spec.ignore_index)

    def _check_shapes(self, outputs: Tensors, targets: Tensors, count: int) -> None:
        output = main_output(outputs)
        needed = list(only_target(targets).shape)
        needed.insert(self.class_dim % self.output_dims, count)
        if list(output.shape) != needed:
            raise UsageError(
                f"the model's outputs have the shape {batch_shape(output.shape)}, but {batch_shape(needed)} "
                f"is needed for the task {self.name}"
            )

    def _random_target(self, output: Tensor, generator: torch.Generator) -> Tensor:
        if output.dim() != self.output_dims:
            raise CheckFailedError(
                f"the task {self.name} needs outputs of {self.output_dims} dimensions, the model gives "
                f"{list(output.shape)}; {OTHER_TASK}"
            )
        labels = random_labels(output, self.class_dim, generator)
        if self.spec.ignore_index is not None and labels.numel() > 1:
            # Some that count for nothing, so that verification sees what they do.
            left_out = torch.rand(labels.shape, generator=generator) < 0.1
            left_out.view(-1)[0] = False
            labels[left_out] = self.spec.ignore_index
        return labels

    def value_bounds(self, outputs: Tensors) -> tuple[float | None, float | None, int | None]:
        classes = main_output(outputs).shape[self.class_dim]
        return 0, classes - 1, self.spec.ignore_index

    def prediction_error(self, predictions: Tensors, outputs: Tensors) -> float:
        return label_error(predictions[self.prediction], main_output(outputs), self.class_dim)
