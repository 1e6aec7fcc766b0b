"""edgetrain's own kernels for ExecuTorch in Python."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Literal

from ..errors import EdgetrainError
from ..runner import find_kernels, how_to_build

Kernels = Literal["fast", "stock"]
_registered = False


def choose_kernels(wanted: Kernels | None, own_operators: Sequence[str] = ()) -> Kernels:
    """The kernels a program runs with: those asked for, else ours where they are installed.

    Args:
        own_operators: of the program, which only ours can run.
    Raises:
        EdgetrainError: ours are asked for, or needed, but not installed, or the program needs them and stock
            ones are asked for; says what to do.
    """
    installed = find_kernels() is not None
    if own_operators and (wanted == "stock" or not installed):
        way_out = "leave --kernels stock out" if installed else how_to_build()
        raise EdgetrainError(
            f"the program calls {own_operators[0]}, which only edgetrain's kernels can run: {way_out}, or "
            "export it again with --recurrent unrolled"
        )
    if wanted == "fast" and not installed:
        raise EdgetrainError(
            f"edgetrain's kernels are not installed: {how_to_build()}; or use --kernels stock"
        )
    return wanted or ("fast" if installed else "stock")


def why_not_run(own_operators: Sequence[str]) -> str | None:
    """Why the kernels that are installed can't run operators of edgetrain's own, and what to do; None where
    they can. The runtime has to be imported."""
    path = find_kernels()
    if path is None:
        return f"these are not installed: {how_to_build()}"
    try:
        known = ctypes.CDLL(str(path)).edgetrain_has_kernel
    except (OSError, AttributeError):
        missing = list(own_operators)
    else:
        known.argtypes, known.restype = [ctypes.c_char_p], ctypes.c_bool
        missing = [name for name in own_operators if not known(name.encode())]
    return f"{path}, of another version, has none of {missing[0]}: {how_to_build()}" if missing else None


def check_unregistered() -> None:
    """Raises:
    EdgetrainError: this process has used our kernels, and can't go back to the stock ones.
    """
    if _registered:
        raise EdgetrainError(
            "edgetrain's kernels are in use in this process and can't be taken out; use another process for "
            "the stock ones"
        )


def register_kernels(program: bytes) -> None:
    """Makes the runtime of this process use our kernels for what a program calls, and for the same calls in
    other programs. The runtime has to be imported; methods loaded before keep the kernels they have.

    Raises:
        EdgetrainError: the library is none for this runtime.
    """
    global _registered
    path = find_kernels()
    assert path is not None
    try:
        library = ctypes.CDLL(str(path))
        register = library.edgetrain_register_kernels
    except (OSError, AttributeError) as error:
        raise EdgetrainError(
            f"{path} can't be used ({error}); install edgetrain again, or use --kernels stock"
        ) from error
    register.argtypes, register.restype = [ctypes.c_char_p, ctypes.c_size_t], None
    _registered = True
    register(program, len(program))
