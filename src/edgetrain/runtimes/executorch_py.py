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
from .base import Session
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
        manifest = program.manifest
        self._names = manifest.gradients
        # In the order `buffers` returns them, which is not that of the manifest's tensors.
        returned = manifest.methods["buffers"].outputs if "buffers" in manifest.methods else []
        self._buffer_names = [argument.name for argument in returned]
        with stderr_held_back() as log:
            # Not portable_lib: that one imports the compiler, too, and takes seconds.
            from executorch.extension.pybindings import _C

            if threads is not None:
                _C._unsafe_reset_threadpool(threads)
            if self.kernels == "fast":
                register_kernels(program.path.read_bytes())
            try:
                self._program = self._load(_C, program, dropout)
                self._methods = {name: self._program.load_method(name) for name in manifest.methods}
            except RuntimeError as error:
                raise InputError(
                    f"ExecuTorch refuses {program.path}: {refusal_reason(error, log)}"
                ) from error

    @staticmethod
    def _load(bindings: Any, program: Program, dropout: bool) -> Any:
        data = str(program.weights_path) if program.weights_path else None
        if dropout or not program.manifest.dropout:
            return bindings._load_program(str(program.path), data_path=data)
        with tempfile.TemporaryDirectory(prefix="edgetrain-") as folder:
            silent = Path(folder) / program.path.name
            silent.write_bytes(without_dropout(program.path.read_bytes()))
            return bindings._load_program(str(silent), data_path=data)

    def forward_backward(self, inputs: Tensor, targets: Tensor) -> tuple[float, Tensor]:
        outputs = self._call("train", inputs, targets)
        count = len(self._names)
        # Outputs are views of planned memory: gradients of this call, and the live parameters.
        self.gradients = dict(zip(self._names, outputs[-2 * count : -count], strict=True))
        if not self.parameters:
            self.parameters = dict(zip(self._names, outputs[-count:], strict=True))
        return float(outputs[0]), outputs[1].clone()

    def evaluate(self, inputs: Tensor, targets: Tensor) -> tuple[float, Tensor]:
        loss, predictions = self._call("evaluate", inputs, targets)
        return float(loss), predictions.clone()

    def predict(self, inputs: Tensor) -> Tensor:
        return self._call("predict", inputs)[0].clone()

    def changed_tensors(self) -> dict[str, Tensor]:
        tensors = {name: tensor.detach().clone() for name, tensor in self.parameters.items()}
        if self._buffer_names:
            buffers = self._call("buffers")
            tensors.update({n: b.clone() for n, b in zip(self._buffer_names, buffers, strict=True)})
        return tensors

    def _call(self, method: str, *inputs: Tensor) -> list[Tensor]:
        if inputs:
            self._check(method, *inputs)
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
        from executorch.extension.pybindings import _C

        return set(_C._get_operator_names())
