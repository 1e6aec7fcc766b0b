"""What a device stores: the runner as it is installed, and the libraries it loads."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.tensors import write_tensors

MOST_BYTES = 1_500_000
BASE = {"libexecutorch.so", "libexecutorch_threadpool.so"}
PROFILER = "libexecutorch_etdump.so"


@pytest.fixture(scope="module")
def device(native_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for a device, stripped."""
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    cmake = shutil.which("cmake", path=path)
    if cmake is None or sys.platform != "linux":
        pytest.skip("needs CMake (pip install cmake), and Linux, whose loader can be watched")
    folder = tmp_path_factory.mktemp("device")
    command = [cmake, "--install", native_build, "--prefix", folder, "--strip", "--component", "runner"]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture
def bench(device: Path, cifar_program: Path, tmp_path: Path) -> Callable[..., Any]:
    """Trains cifar_cnn for two steps there; how that ended, and the files of the folder that were loaded."""
    data = tmp_path / "batches.ptd"
    write_tensors(data, {"inputs": torch.randn(8, 3, 32, 32), "targets": torch.arange(8)})

    def call(*flags: Any) -> tuple[subprocess.CompletedProcess[str], set[Path]]:
        runner = device / "bin" / "edgetrain-runner"
        command = [runner, "bench", cifar_program, "--data", data, "--batch-size", 4, *flags]
        environment = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}
        environment |= {"LD_DEBUG": "files", "LD_DEBUG_OUTPUT": str(tmp_path / "loaded")}
        done = subprocess.run(
            [*map(str, command)], input="2\n", capture_output=True, text=True, env=environment
        )
        (report,) = tmp_path.glob("loaded.*")
        loaded = re.findall(r"calling init: (\S+)", report.read_text())
        report.unlink()
        return done, {path for path in map(Path.resolve, map(Path, loaded)) if device in path.parents}

    return call


def test_cifar_cnn_takes_at_most_a_megabyte_and_a_half(
    bench: Callable[..., Any], device: Path, native_build: Path, is_sanitized: bool
) -> None:
    done, loaded = bench()
    assert done.returncode == 0, done.stderr
    assert {path.name for path in loaded} == BASE
    (kind,) = re.findall(r"CMAKE_BUILD_TYPE:\w+=(.*)", (native_build / "CMakeCache.txt").read_text())
    if is_sanitized or kind not in ("", "Release") or platform.machine() != "x86_64":
        pytest.skip("the limit is for a release on x86-64")
    sizes = {path.name: path.stat().st_size for path in [device / "bin" / "edgetrain-runner", *loaded]}
    assert sum(sizes.values()) <= MOST_BYTES, sizes


def test_a_profile_takes_one_library_more(bench: Callable[..., Any], device: Path, tmp_path: Path) -> None:
    dump = tmp_path / "profile.etdp"
    done, loaded = bench("--profile", dump)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in loaded} == BASE | {PROFILER}
    library = device / "lib" / PROFILER
    library.rename(library.with_suffix(".away"))
    try:
        done, _ = bench("--profile", dump)
    finally:
        library.with_suffix(".away").rename(library)
    assert done.returncode == 3
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("edgetrain-runner: --profile needs ExecuTorch's profiler: put " + PROFILER)
