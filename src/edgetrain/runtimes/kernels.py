"""edgetrain's own kernels for ExecuTorch in Python."""

from __future__ import annotations

import ctypes
from typing import Literal

from ..errors import EdgetrainError
from ..runner import find_kernels

Kernels = Literal["fast", "stock"]
_registered = False


def choose_kernels(wanted: Kernels | None) -> Kernels:
    """The kernels a program runs with: those asked for, else ours where they are installed.

    Raises:
        EdgetrainError: ours are asked for, but not installed; says what to do.
    """
    installed = find_kernels() is not None
    if wanted == "fast" and not installed:
        raise EdgetrainError(
            "edgetrain's kernels are not installed: install a C++ compiler (such as g++), then run "
            "'pip install --force-reinstall --no-deps edgetrain' from where you installed it; "
            "or use --kernels stock"
        )
    return wanted or ("fast" if installed else "stock")


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
