"""A program with one method, `forward`, as any app on ExecuTorch would run it."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from ..errors import InputError
from ..upstream.files import load_runtime_program, set_runtime_threads
from .executorch_py import refusal_reason, stderr_held_back


class InferenceProgram:
    """A loaded program.

    Raises:
        InputError: the runtime refuses it.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        with stderr_held_back() as log:
            if threads is not None:
                set_runtime_threads(threads)
            try:
                self._program = load_runtime_program(str(path))
                self._forward = self._program.load_method("forward")
            except RuntimeError as error:
                raise InputError(f"ExecuTorch refuses {path}: {refusal_reason(error, log)}") from error

    def run(self, *inputs: Tensor) -> list[Tensor]:
        """The outputs of one batch, valid until the next call.

        Raises:
            InputError: the runtime refuses the inputs.
        """
        with stderr_held_back() as log:
            try:
                outputs: list[Tensor] = self._forward.call(
                    tuple(t.contiguous() for t in inputs), clone_outputs=False
                )
                return outputs
            except RuntimeError as error:
                raise InputError(f"ExecuTorch failed: {refusal_reason(error, log)}") from error
