"""The ExecuTorch runtime through its Python bindings."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from ..artifacts.program import Program, without_dropout
from ..errors import EdgetrainError, InputError
from ..upstream import load_runtime_program, runtime_operator_names, set_runtime_threads
from .base import Outcome, Session, Tensors
from .kernels import Kernels, check_unregistered, choose_kernels, register_kernels


class ExecutorchSession(Session):
    """A program in ExecuTorch.

    All methods are loaded before anything runs: loading one resets the weights they share.

    Attributes:
        kernels: whose kernels it runs with, edgetrain's or, for what these don't cover and for `stock`,
            ExecuTorch's.
    """

    name = "executorch"

    def __init__(
        self,
        program: Program,
        *,
        dropout: bool = True,
        threads: int | None = None,
        kernels: Kernels | None = None,
    ) -> None:
        super().__init__(program)
        self.kernels = choose_kernels(kernels)
        if self.kernels == "stock":
            check_unregistered()
        with stderr_held_back() as log:
            runtime_operator_names()  # the runtime has to be there before kernels are registered
            if threads is not None:
                set_runtime_threads(threads)
            if self.kernels == "fast":
                register_kernels(program.path.read_bytes())
            try:
                self._program = self._load(program, dropout)
                self._methods = {name: self._program.load_method(name) for name in self.contract.methods}
            except RuntimeError as error:
                raise InputError(
                    f"ExecuTorch refuses {program.path}: {refusal_reason(error, log)}"
                ) from error

    @staticmethod
    def _load(program: Program, dropout: bool) -> Any:
        with contextlib.ExitStack() as files:
            weights = files.enter_context(program.full_weights())
            data = str(weights) if weights else None
            if dropout or not program.manifest.dropout:
                return load_runtime_program(str(program.path), data)
            folder = files.enter_context(tempfile.TemporaryDirectory(prefix="edgetrain-"))
            silent = Path(folder) / program.path.name
            silent.write_bytes(without_dropout(program.path.read_bytes()))
            return load_runtime_program(str(silent), data)

    def train(self, inputs: Tensors, targets: Tensors) -> Outcome:
        outputs = self._call("train", self._arranged("train", inputs, targets))
        method = self.contract.methods["train"]
        # Views of planned memory: gradients of this call, and the live parameters.
        self.gradients = {str(a.tensor): outputs[a.index] for a in method.given("gradient")}
        if not self.parameters:
            self.parameters = {str(a.tensor): outputs[a.index] for a in method.given("parameter")}
        return self._outcome("train", outputs)

    def evaluate(self, inputs: Tensors, targets: Tensors) -> Outcome:
        return self._outcome("evaluate", self._call("evaluate", self._arranged("evaluate", inputs, targets)))

    def predict(self, inputs: Tensors) -> dict[str, Tensor]:
        outputs = self._call("predict", self._arranged("predict", inputs))
        return {a.name: outputs[a.index].clone() for a in self.contract.methods["predict"].given("output")}

    def changed_tensors(self) -> dict[str, Tensor]:
        tensors = {name: tensor.detach().clone() for name, tensor in self.parameters.items()}
        if "buffers" in self.contract.methods:
            outputs = self._call("buffers", [])
            given = self.contract.methods["buffers"].given("buffer")
            tensors.update({str(a.tensor): outputs[a.index].clone() for a in given})
        return tensors

    def _outcome(self, name: str, outputs: list[Tensor]) -> Outcome:
        method = self.contract.methods[name]
        (loss,) = method.given("loss")
        return Outcome(
            float(outputs[loss.index]),
            {a.name: outputs[a.index].clone() for a in method.given("prediction")},
            {a.name: outputs[a.index].clone() for a in method.given("metric")},
        )

    def _call(self, method: str, inputs: list[Tensor]) -> list[Tensor]:
        with stderr_held_back() as log:
            try:
                return self._methods[method].call(tuple(t.contiguous() for t in inputs), clone_outputs=False)
            except RuntimeError as error:
                shapes = ", ".join(f"{list(t.shape)} {str(t.dtype).removeprefix('torch.')}" for t in inputs)
                raise EdgetrainError(
                    f"ExecuTorch failed in method {method} with inputs {shapes}: {refusal_reason(error, log)}"
                ) from error


@contextlib.contextmanager
def stderr_held_back() -> Iterator[Any]:
    """Keeps what C++ writes to stderr in a file: noise on success, the reason on failure."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as log:
        saved = os.dup(2)
        try:
            os.dup2(log.fileno(), 2)
            yield log
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def refusal_reason(error: Exception, log: Any) -> str:
    """What the runtime said about an error, in Python and on the stderr held back."""
    log.seek(0)
    lines = [line for line in log.read().decode(errors="replace").splitlines() if "cpuinfo" not in line]
    said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return f"{said} ({lines[-1].strip()})" if lines else said


def runtime_operators() -> set[str]:
    """Names of all operators the runtime in this process can execute, such as `aten::add.out`."""
    with stderr_held_back():
        return runtime_operator_names()
