"""Opening a program in the runtime of one's choice."""

from __future__ import annotations

from ..artifacts.program import Program
from .base import RuntimeName, Session


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
