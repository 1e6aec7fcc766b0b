"""Opening a program in the runtime of one's choice."""

from __future__ import annotations

from ..artifacts.program import Program
from ..factories import NOTHING, Trusted
from .base import RuntimeName, Session
from .kernels import Kernels


def open_session(
    runtime: RuntimeName,
    program: Program,
    *,
    dropout: bool = True,
    threads: int | None = None,
    trusted: Trusted = NOTHING,
    kernels: Kernels | None = None,
    profiled: bool = False,
) -> Session:
    """Loads a program.

    Args:
        dropout: False runs `train` with every dropout off, so that results can be compared.
        threads: CPU threads; None leaves the runtime's choice. This holds for the whole process.
        trusted: for torch, whose code the caller lets build the model and the loss.
        kernels: for executorch: edgetrain's own (fast) or only ExecuTorch's (stock); None takes the fast ones
            where they are installed. Once used, the fast ones stay for the whole process.
        profiled: for executorch: operators' times are taken down, which takes time and memory; see
            `ExecutorchSession.save_profile`.
    Raises:
        InputError: the runtime refuses the program.
        EdgetrainError: the kernels are not installed, or the process can't have them.
    """
    if runtime == "torch":
        from .torch_eager import TorchSession

        return TorchSession(program, dropout=dropout, threads=threads, trusted=trusted)
    from .executorch_py import ExecutorchSession

    return ExecutorchSession(program, dropout=dropout, threads=threads, kernels=kernels, profiled=profiled)
