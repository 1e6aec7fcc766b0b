"""What every runtime offers: one program, loaded with one set of weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

from torch import Tensor

from ..artifacts.program import Program

RuntimeName = Literal["executorch", "torch"]


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

    def __init__(self) -> None:
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


def open_session(
    runtime: RuntimeName,
    program: Program,
    *,
    dropout: bool = True,
    threads: int | None = None,
    model: str | None = None,
) -> Session:
    """Loads a program.

    Args:
        dropout: False runs `train` with every dropout off, so that results can be compared.
        threads: CPU threads; None leaves the runtime's choice. This holds for the whole process.
        model: for torch, the `package.module:factory` the caller trusts to build the model.
    Raises:
        InputError: the runtime refuses the program.
    """
    if runtime == "torch":
        from .torch_eager import TorchSession

        return TorchSession(program, dropout=dropout, threads=threads, model=model)
    from .executorch_py import ExecutorchSession

    return ExecutorchSession(program, dropout=dropout, threads=threads)
