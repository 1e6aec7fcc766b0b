"""What every runtime offers: one program, loaded with one set of weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ..artifacts.contract import BATCH, Argument
from ..artifacts.program import Program
from ..errors import InputError

RuntimeName = Literal["executorch", "torch"]  # those that run in this process

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Outcome:
    """What a method said about a batch.

    Attributes:
        loss: the batch's mean.
        predictions: by name, what the outputs mean; empty where they speak for themselves.
        sums: float32, by name, what the contract's metrics are made of.
    """

    loss: float
    predictions: dict[str, Tensor]
    sums: dict[str, Tensor]


class Session(ABC):
    """A loaded program. Methods take named tensors of 1 to `max_batch_size` samples as the contract has them
    (preprocessed).

    Attributes:
        name: the runtime's name.
        gradients: after `train`: gradients by parameter name, valid until the next call.
        parameters: trainable parameters by name, the live memory the program computes with: changing them in
            place trains it. Filled by the first `train`.
    """

    name: str

    def __init__(self, program: Program) -> None:
        self.manifest = program.manifest
        self.contract = program.manifest.contract
        self.gradients: dict[str, Tensor] = {}
        self.parameters: dict[str, Tensor] = {}

    @abstractmethod
    def train(self, inputs: Tensors, targets: Tensors) -> Outcome:
        """Forward and backward; fills `gradients`."""

    @abstractmethod
    def evaluate(self, inputs: Tensors, targets: Tensors) -> Outcome:
        """The same quantities in evaluation mode (no dropout, stored statistics)."""

    @abstractmethod
    def predict(self, inputs: Tensors) -> dict[str, Tensor]:
        """The model's outputs in evaluation mode, by name."""

    @abstractmethod
    def changed_tensors(self) -> dict[str, Tensor]:
        """Copies of everything training has changed: parameters and running statistics, by name."""

    def _arranged(self, method: str, inputs: Tensors, targets: Tensors | None = None) -> list[Tensor]:
        """A method's arguments in order.

        Refuses a batch that is not laid out as the method wants it. Runtimes check less: any shape that fits
        the planned memory is computed with, and targets are broadcast.

        Raises:
            InputError: naming the tensor and what it should be.
        """
        given = {"input": inputs, "target": targets or {}}
        size, most = len(next(iter(inputs.values()))), self.contract.max_batch_size
        if not 1 <= size <= most:
            raise InputError(f"the program takes batches of 1 to {most} samples, not {size}")
        arranged = []
        for argument in self.contract.methods[method].inputs:
            tensor = given.get(argument.role, {}).get(argument.name)
            if tensor is None:
                raise InputError(f"method {method} takes {argument.name}, which the samples don't have")
            _check(method, argument, tensor, size)
            arranged.append(tensor)
        return arranged


def _check(method: str, argument: Argument, tensor: Tensor, size: int) -> None:
    shape = [size if length == BATCH else length for length in argument.shape]
    found = (list(tensor.shape), str(tensor.dtype).removeprefix("torch."))
    if found != (shape, argument.dtype):
        raise InputError(
            f"{argument.name} of method {method} must be {shape} {argument.dtype}, but are {found[0]} "
            f"{found[1]}"
        )
