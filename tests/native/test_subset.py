"""A runner that is built for one program: as good for it as the full one, in half the bytes."""

from __future__ import annotations

import fcntl
import json
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

from edgetrain.artifacts.program_needs import needs_of
from edgetrain.runtimes.native_build import BuiltRunner, Target, build_runner

Runner = Callable[..., Any]
REPOSITORY = Path(__file__).parents[2]
ISA = {"x86_64": "avx2", "AMD64": "avx2", "aarch64": "neon", "arm64": "neon"}.get(platform.machine())

pytestmark = [
    pytest.mark.slow,
    pytest.mark.thorough,
    pytest.mark.parametrize("native_build", ["plain"], indirect=True, scope="session"),
]


@pytest.fixture(scope="module")
def built(digits_program: Any, native_build: Path, tmp_path_factory: pytest.TempPathFactory) -> BuiltRunner:
    """The runner for digits_cnn and one instruction set. What it is compiled of stays in build/subset."""
    if ISA is None or sys.platform != "linux":
        pytest.skip("is compared by the size of a Linux program, with vectors")
    if ISA == "avx2" and not re.search(r"\bavx2\b", Path("/proc/cpuinfo").read_text()):
        pytest.skip("needs a processor with AVX2")
    build = REPOSITORY / "build" / "subset"
    build.mkdir(parents=True, exist_ok=True)
    with (build / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = tmp_path_factory.mktemp("device")
        return build_runner([digits_program.program], folder, Target(isas=(ISA,)), build=build)


@pytest.fixture(scope="module")
def subset(built: BuiltRunner) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command of it, as on a device without ExecuTorch's own kernels."""
    environment = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}

    def call(*arguments: Any) -> subprocess.CompletedProcess[str]:
        command = [str(built.runner), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    return call


def test_it_takes_half_the_bytes(built: BuiltRunner, runner: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    subprocess.run(["strip", "-o", full, runner], check=True)
    assert built.runner_bytes == built.runner.stat().st_size
    assert built.runner_bytes <= full.stat().st_size / 2
    files = [path for path in built.runner.parents[1].rglob("*") if path.is_file()]
    assert built.folder_bytes == sum(path.stat().st_size for path in files)


def test_it_trains_bit_for_bit_like_the_full_one(
    subset: Runner, digits_program: Any, packed: Any, run: Runner, tmp_path: Path
) -> None:
    flags = ["--data", packed.train, "--validation", packed.test, "--epochs", 2, "--log-steps"]
    # Also a last batch of another size, for which the convolutions may take another method.
    flags += ["--batch-size", 30]
    mine, full = tmp_path / "mine.ptd", tmp_path / "full.ptd"
    done = subset("train", digits_program.program, *flags, "-o", mine)
    assert done.returncode == 0, done.stderr
    expected = run(
        "train", digits_program.program, *flags, "-o", full, env={**os.environ, "EDGETRAIN_ISA": str(ISA)}
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["loss"] for line in lines if line["event"] == "step"] == expected.losses
    assert mine.read_bytes() == full.read_bytes()


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_the_other_commands(
    command: str, subset: Runner, digits_program: Any, packed: Any, run: Runner
) -> None:
    arguments = [command, digits_program.program, "--data", packed.test]
    done = subset(*arguments)
    assert done.returncode == 0, done.stderr
    expected = run(*arguments, env={**os.environ, "EDGETRAIN_ISA": str(ISA)})
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for line in (*lines, *expected.lines):
        line.pop("peak_rss_bytes", None)
    assert lines == expected.lines


def test_its_program_needs_no_stock_kernels(subset: Runner, digits_program: Any) -> None:
    done = subset("info", digits_program.program)
    assert done.returncode == 0, done.stderr
    (info,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert info["stock_kernels"] == []


def test_another_program_is_refused_by_its_operators(
    subset: Runner, built: BuiltRunner, regression_program: Any, cifar_program: Path
) -> None:
    for program in (regression_program.program, cifar_program):
        needs = needs_of([program.read_bytes()])
        # Those without outputs of the caller's, as sym_size.int, are part of the runtime.
        missing = [
            name
            for name in set(needs.operators) - set(built.needs.operators)
            if re.search(r"\.\w*out$", name)
        ]
        assert missing
        done = subset("info", program)
        assert done.returncode == 3
        (line,) = done.stderr.strip().splitlines()
        assert "this runner was built for other programs, without kernels of" in line
        assert all(name in line for name in missing)
        assert "build one for this program" in line


def test_stock_kernels_stand_in_where_they_are_the_same(
    built: BuiltRunner, regression_program: Any, cifar_program: Path, tmp_path: Path
) -> None:
    from edgetrain.runner import runner_environment

    folder = tmp_path / "device"
    shutil.copytree(built.runner.parents[1], folder)
    libraries = Path(runner_environment()["LD_LIBRARY_PATH"].split(os.pathsep)[0])
    shutil.copy(libraries / "libexecutorch_kernels_optimized.so", folder / "lib")

    def info(program: Path) -> subprocess.CompletedProcess[str]:
        command = [folder / "bin" / "edgetrain-runner", "info", program]
        return subprocess.run(command, capture_output=True, text=True)

    assert info(regression_program.program).returncode == 0
    # ExecuTorch's dropout is seeded at random.
    refused = info(cifar_program)
    assert refused.returncode == 3
    assert "aten::native_dropout.out" in refused.stderr


def test_it_has_no_profiler(subset: Runner, digits_program: Any, packed: Any, tmp_path: Path) -> None:
    flags = ["--data", packed.test, "--profile", tmp_path / "profile.etdump"]
    done = subset("evaluate", digits_program.program, *flags)
    assert done.returncode == 2
    assert "this runner was built without --profile" in done.stderr


def test_it_says_which_instruction_sets_it_has(built: BuiltRunner, digits_program: Any) -> None:
    environment = {**os.environ, "EDGETRAIN_ISA": "baseline"}
    command = [built.runner, "info", digits_program.program]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert f"choose one of {ISA}, or unset it" in done.stderr
