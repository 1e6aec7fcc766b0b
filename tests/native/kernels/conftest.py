"""The native kernels, on every instruction set of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from kernel_caller import KernelCaller

ISAS = ("baseline", "avx2", "avx512", "neon")


def start(native_build: Path, isa: str, threads: int) -> KernelCaller:
    program = native_build / "kernel_calls"
    probe = subprocess.run(
        [program], input="", capture_output=True, text=True, env={**os.environ, "EDGETRAIN_ISA": isa}
    )
    if probe.returncode:
        assert "EDGETRAIN_ISA is " + isa in probe.stderr
        pytest.skip(f"this machine has no {isa}")
    return KernelCaller(program, isa, threads)


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """Every test draws the same numbers, whatever ran before it on its process."""
    torch.manual_seed(0)


@pytest.fixture(scope="session", params=ISAS)
def kernels(request: pytest.FixtureRequest, native_build: Path) -> Iterator[KernelCaller]:
    """All kernels on one thread."""
    caller = start(native_build, request.param, 1)
    yield caller
    caller.close()


@pytest.fixture(scope="session")
def threaded_kernels(kernels: KernelCaller, native_build: Path) -> Iterator[KernelCaller]:
    """The same on three threads."""
    caller = start(native_build, kernels.isa, 3)
    yield caller
    caller.close()
