"""The programs of `make native`, and what they are asked."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "native" / "kernels"))

from kernel_caller import KernelCaller, Out, Timing  # noqa: E402, the tests' own client

__all__ = ["ROOT", "KernelCaller", "Out", "Timing", "native_program"]


def native_program(name: str) -> Path:
    """A program in build/native, or in $EDGETRAIN_NATIVE_BUILD; ends the process where it is missing."""
    build = Path(os.environ.get("EDGETRAIN_NATIVE_BUILD", ROOT / "build" / "native"))
    path = build / name
    if not path.is_file():
        sys.exit(f"there is no {path}; build it with 'make native'")
    return path
