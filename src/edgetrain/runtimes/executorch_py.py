"""The ExecuTorch runtime through its Python bindings."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..artifacts.contract import BACKBONE, Role
from ..artifacts.program import Program
from ..artifacts.temporary import scratch_folder
from ..artifacts.without_dropout import without_dropout
from ..errors import EdgetrainError, InputError
from ..upstream.files import load_runtime_program, runtime_operator_names, set_runtime_threads
from .base import GraphSession, Hyperparameters, Outcome, Tensors
from .kernels import Kernels, check_unregistered, choose_kernels, register_kernels

# Roles of what the method `weights` returns.
_CHANGING: tuple[Role, ...] = ("parameter", "buffer", "optimizer_state")


class ExecutorchSession(GraphSession):
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
        profiled: bool = False,
    ) -> None:
        super().__init__(program)
        self.kernels = choose_kernels(kernels, program.manifest.own_operators)
        if self.kernels == "stock":
            check_unregistered()
        with stderr_held_back() as log:
            runtime_operator_names()  # the runtime has to be there before kernels are registered
            if threads is not None:
                set_runtime_threads(threads)
            if self.kernels == "fast":
                register_kernels(program.path.read_bytes())
            try:
                self._program = self._load(program, dropout, profiled)
                self._methods = {name: self._program.load_method(name) for name in self.contract.methods}
            except MemoryError as error:
                raise InputError(f"{program.path} needs more memory than this machine has") from error
            except RuntimeError as error:
                raise InputError(
                    f"ExecuTorch refuses {program.path}: {refusal_reason(error, log)}"
                ) from error
        self._find_weights()

    @staticmethod
    def _load(program: Program, dropout: bool, profiled: bool) -> Any:
        with contextlib.ExitStack() as files:
            weights = files.enter_context(program.full_weights())
            data = str(weights) if weights else None
            if dropout or not program.manifest.dropout:
                return load_runtime_program(str(program.path), data, profiled=profiled)
            folder = files.enter_context(scratch_folder())
            silent = folder / program.path.name
            silent.write_bytes(without_dropout(program.path.read_bytes()))
            return load_runtime_program(str(silent), data, profiled=profiled)

    def save_profile(self, path: Path) -> None:
        """Writes an etdump of all that ran so far, where the session was opened to be profiled."""
        self._program.write_etdump_result_to_file(str(path))

    def _find_weights(self) -> None:
        """Views of the planned memory of all that training changes."""
        outputs, method = self._call("weights", []), self.contract.methods["weights"]
        found = {role: {str(a.tensor): outputs[a.index] for a in method.given(role)} for role in _CHANGING}
        self.parameters, self.buffers, self.states = (found[role] for role in _CHANGING)

    def forward_backward(self, inputs: Tensors, targets: Tensors) -> Outcome:
        name = self.contract.gradient_method
        assert name is not None
        outputs = self._call(name, [tensor for _, tensor in self._samples(name, inputs, targets)])
        # Views of planned memory.
        self.gradients = {
            str(a.tensor): outputs[a.index] for a in self.contract.methods[name].given("gradient")
        }
        return self._outcome(name, outputs)

    def train(self, inputs: Tensors, targets: Tensors, hyperparameters: Hyperparameters) -> Outcome:
        arguments = {a.index: tensor for a, tensor in self._samples("train", inputs, targets)}
        arguments |= self._scalars("train", hyperparameters)
        return self._outcome("train", self._call("train", [arguments[i] for i in sorted(arguments)]))

    def features(self, inputs: Tensors) -> dict[str, Tensor]:
        outputs = self._call(BACKBONE, [tensor for _, tensor in self._samples(BACKBONE, inputs)])
        return {a.name: outputs[a.index].clone() for a in self.contract.methods[BACKBONE].outputs}

    def _inputs(self, method: str, inputs: Tensors) -> Tensors:
        names = self.contract.features
        known = method == BACKBONE or all(name in inputs for name in names)
        return inputs if known else self.features(inputs)

    def update(self, hyperparameters: Hyperparameters) -> None:
        self._call("update", list(self._scalars("update", hyperparameters).values()))

    def evaluate(self, inputs: Tensors, targets: Tensors) -> Outcome:
        samples = self._samples("evaluate", inputs, targets)
        return self._outcome("evaluate", self._call("evaluate", [tensor for _, tensor in samples]))

    def predict(self, inputs: Tensors) -> dict[str, Tensor]:
        outputs = self._call("predict", [tensor for _, tensor in self._samples("predict", inputs)])
        return {a.name: outputs[a.index].clone() for a in self.contract.methods["predict"].given("output")}

    def _scalars(self, name: str, hyperparameters: Hyperparameters) -> dict[int, Tensor]:
        """What a method takes of the hyperparameters, by index."""
        taken = self.contract.methods[name].taken("hyperparameter")
        return {a.index: torch.tensor(hyperparameters[a.name], dtype=torch.float32) for a in taken}

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
