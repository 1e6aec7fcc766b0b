"""What every runtime offers: one program, loaded with one set of weights."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ..artifacts.contract import BATCH, Argument
from ..artifacts.program import Program
from ..errors import InputError

RuntimeName = Literal["executorch", "torch"]  # those that run in this process

Tensors = Mapping[str, Tensor]
Hyperparameters = Mapping[str, float]


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
        parameters, buffers: what training changes, by name: live memory, which the program computes with.
        states: of the program's own optimizer, live as well; empty where the runtime doesn't run that.
        gradients: after `forward_backward`: gradients by parameter name, valid until the next call.
    """

    name: str

    def __init__(self, program: Program) -> None:
        self.manifest = program.manifest
        self.contract = program.manifest.contract
        self.parameters: dict[str, Tensor] = {}
        self.buffers: dict[str, Tensor] = {}
        self.states: dict[str, Tensor] = {}
        self.gradients: dict[str, Tensor] = {}

    @abstractmethod
    def forward_backward(self, inputs: Tensors, targets: Tensors) -> Outcome:
        """Forward and backward without an update; fills `gradients`."""

    @abstractmethod
    def evaluate(self, inputs: Tensors, targets: Tensors) -> Outcome:
        """The same quantities in evaluation mode (no dropout, stored statistics)."""

    @abstractmethod
    def predict(self, inputs: Tensors) -> dict[str, Tensor]:
        """The model's outputs in evaluation mode, by name."""

    def changed_tensors(self) -> dict[str, Tensor]:
        """Copies of everything training has changed: parameters and running statistics, by name."""
        live = {**self.parameters, **self.buffers}
        return {name: tensor.detach().clone() for name, tensor in live.items()}

    @contextlib.contextmanager
    def statistics_kept(self) -> Iterator[None]:
        """Puts running statistics back afterwards, for a pass that is only looked at."""
        before = {name: tensor.clone() for name, tensor in self.buffers.items()}
        yield
        for name, tensor in before.items():
            self.buffers[name].copy_(tensor)

    def _arguments(self, method: str) -> list[Argument]:
        """What a method is given here."""
        return self.contract.methods[method].inputs

    def _inputs(self, method: str, inputs: Tensors) -> Tensors:
        """What a method takes in place of a sample's inputs."""
        return inputs

    def _samples(
        self, method: str, inputs: Tensors, targets: Tensors | None = None
    ) -> list[tuple[Argument, Tensor]]:
        """A method's inputs and targets in order.

        Refuses a batch that is not laid out as the method wants it. Runtimes check less: any shape that fits
        the planned memory is computed with, and targets are broadcast.

        Raises:
            InputError: naming the tensor and what it should be.
        """
        inputs = self._inputs(method, inputs)
        given = {"input": inputs, "target": targets or {}}
        size, most = len(next(iter(inputs.values()))), self.contract.max_batch_size
        if not 1 <= size <= most:
            raise InputError(f"the program takes batches of 1 to {most} samples, not {size}")
        arranged = []
        for argument in self._arguments(method):
            if argument.role not in given:
                continue
            tensor = given[argument.role].get(argument.name)
            if tensor is None:
                raise InputError(f"method {method} takes {argument.name}, which the samples don't have")
            _check(method, argument, tensor, size)
            arranged.append((argument, tensor))
        return arranged


class GraphSession(Session):
    """A session that runs the update that is part of a program, where one is."""

    @abstractmethod
    def train(self, inputs: Tensors, targets: Tensors, hyperparameters: Hyperparameters) -> Outcome:
        """Forward, backward and, unless the program splits batches, the update. Of the hyperparameters it
        takes those that the method has."""

    @abstractmethod
    def features(self, inputs: Tensors) -> dict[str, Tensor]:
        """What all other methods also take in place of the inputs, where the program has a backbone; by name,
        [B, ...] each, in memory of their own."""

    @abstractmethod
    def update(self, hyperparameters: Hyperparameters) -> None:
        """The update by what `train` has added up over the parts of a batch."""


def _check(method: str, argument: Argument, tensor: Tensor, size: int) -> None:
    shape = [size if length == BATCH else length for length in argument.shape]
    found = (list(tensor.shape), str(tensor.dtype).removeprefix("torch."))
    if found != (shape, argument.dtype):
        raise InputError(
            f"{argument.name} of method {method} must be {shape} {argument.dtype}, but are {found[0]} "
            f"{found[1]}"
        )
