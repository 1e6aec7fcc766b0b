"""What every runtime offers: one program, loaded with one set of weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

from torch import Tensor

from ..artifacts.program import Program
from ..errors import InputError

RuntimeName = Literal["executorch", "torch"]  # those that run in this process


class Session(ABC):
    """A loaded program. Methods take batches of 1 to `max_batch_size` samples as the model expects them
    (preprocessed, the manifest's shape and dtype).

    Attributes:
        name: the runtime's name.
        gradients: after `forward_backward`: gradients by parameter name, valid until the next call.
        parameters: trainable parameters by name, the live memory the program computes with: changing them in
            place trains it. Filled by the first `forward_backward`.
    """

    name: str

    def __init__(self, program: Program) -> None:
        self.manifest = program.manifest
        self.gradients: dict[str, Tensor] = {}
        self.parameters: dict[str, Tensor] = {}

    @abstractmethod
    def forward_backward(self, inputs: Tensor, targets: Tensor) -> tuple[float, Tensor]:
        """Runs `train`: the mean loss of the batch and the predictions; fills `gradients`."""

    @abstractmethod
    def evaluate(self, inputs: Tensor, targets: Tensor) -> tuple[float, Tensor]:
        """Mean loss and predictions in evaluation mode (no dropout, stored statistics)."""

    @abstractmethod
    def predict(self, inputs: Tensor) -> Tensor:
        """Logits in evaluation mode."""

    @abstractmethod
    def changed_tensors(self) -> dict[str, Tensor]:
        """Copies of everything training has changed: parameters and running statistics, by name."""

    def _check(self, method: str, *tensors: Tensor) -> None:
        """Refuses a batch that is not laid out as the method wants it. Runtimes check less than that: any
        shape that fits the planned memory is computed with, and targets are broadcast.

        Raises:
            InputError: naming the tensor and what it should be.
        """
        size, largest = len(tensors[0]), self.manifest.max_batch_size
        if not 1 <= size <= largest:
            raise InputError(f"the program takes batches of 1 to {largest} samples, not {size}")
        for tensor, wanted in zip(tensors, self.manifest.methods[method].inputs, strict=True):
            shape = [size if length == "batch" else length for length in wanted.shape]
            found = (list(tensor.shape), str(tensor.dtype).removeprefix("torch."))
            if found != (shape, wanted.dtype):
                raise InputError(
                    f"{wanted.name} of method {method} must be {shape} {wanted.dtype}, "
                    f"but are {found[0]} {found[1]}"
                )
