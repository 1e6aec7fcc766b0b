"""The runner, built once, and data packed for it.

All tests of one build run before those of the other. So fixtures of this folder that export something have
the scope of the session, or each module would export it twice.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.manifest import file_record, load_manifest, manifest_path, save_manifest
from edgetrain.artifacts.tensors import write_tensors
from edgetrain.artifacts.without_dropout import without_dropout

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Run:
    """How a command ended. `lines` is what it wrote to stdout, `said` what it wrote to stderr."""

    code: int
    lines: list[dict[str, Any]]
    said: list[str]

    @property
    def error(self) -> str:
        return self.said[-1] if self.said else ""

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == kind]

    @property
    def losses(self) -> list[float]:
        """Of each step (--log-steps)."""
        return [line["loss"] for line in self.events("step")]


GIVEN_BUILD = os.environ.get("EDGETRAIN_NATIVE_BUILD")
EMULATOR = os.environ.get("EDGETRAIN_EMULATOR")
PROGRAMS = ("edgetrain-runner", "kernel_calls", "optimizer_steps", "parts_test")
SANITIZED = pytest.param("sanitized", marks=pytest.mark.slow)


@pytest.fixture(scope="session", params=["given"] if GIVEN_BUILD else ["plain", SANITIZED])
def native_build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built programs: those in $EDGETRAIN_NATIVE_BUILD, run by the command $EDGETRAIN_EMULATOR if they
    are another machine's; or build/native, brought up to date, and then build/native-asan with
    AddressSanitizer and UndefinedBehaviorSanitizer in them."""
    build = Path(GIVEN_BUILD) if GIVEN_BUILD else make_build(request.param == "sanitized")
    if GIVEN_BUILD and EMULATOR:
        return emulated(build, EMULATOR, tmp_path_factory.mktemp("emulated"))
    probe = subprocess.run([build / "parts_test"], capture_output=True, text=True)
    if "LeakSanitizer has encountered a fatal error" in probe.stderr:
        # It needs ptrace, which containers often forbid.
        os.environ["ASAN_OPTIONS"] = "detect_leaks=0"
    return build


def emulated(build: Path, emulator: str, folder: Path) -> Path:
    """A folder of scripts with the programs' names, each of which runs one of them in the emulator."""
    for name in PROGRAMS:
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {emulator} {shlex.quote(str(build.resolve() / name))} "$@"\n')
        script.chmod(0o755)
    return folder


def make_build(sanitized: bool) -> Path:
    """Configures and builds, or skips the test where the tools are missing."""
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    cmake = shutil.which("cmake", path=path)
    if cmake is None or shutil.which("c++") is None:
        pytest.skip("needs a C++ compiler and CMake (pip install cmake)")
    text = subprocess.run([cmake, "--version"], capture_output=True, text=True, check=True).stdout
    if tuple(int(n) for n in text.split()[2].split(".")[:2]) < (3, 28):
        pytest.skip("needs CMake 3.28 or newer (pip install cmake)")
    spec = importlib.util.find_spec("executorch")
    assert spec is not None
    assert spec.submodule_search_locations
    flags = [f"-DCMAKE_PREFIX_PATH={next(iter(spec.submodule_search_locations))}"]
    build = REPOSITORY / "build" / "native"
    if sanitized:
        build = build.with_name("native-asan")
        # Compiled to be looked at, not to be fast: at -O2 the compiler takes three times as long.
        flags += ["-DEDGETRAIN_SANITIZE=ON", "-DCMAKE_BUILD_TYPE=RelWithDebInfo"]
        flags += ["-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-Og -DNDEBUG"]
    environment = {**os.environ, "PATH": path}
    if shutil.which("ninja", path=path):
        environment["CMAKE_GENERATOR"] = "Ninja"  # as `make native`; a build that is there keeps its own
    build.mkdir(parents=True, exist_ok=True)
    with (build / ".lock").open("w") as lock:
        # Several processes run the tests; one builds, and the others find it up to date.
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [cmake, "-S", REPOSITORY / "native", "-B", build, *flags]
        subprocess.run(command, check=True, capture_output=True, env=environment)
        command = [cmake, "--build", build, "-j2"]
        made = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert made.returncode == 0, made.stdout[-3000:]
    return build


@pytest.fixture(scope="session")
def runner(native_build: Path) -> Path:
    """The runner itself."""
    return native_build / "edgetrain-runner"


@pytest.fixture(scope="session")
def run(runner: Path) -> Callable[..., Run]:
    """Runs a command to its end; every failure must be one line on stderr."""

    def call(*arguments: Any, **options: Any) -> Run:
        done = subprocess.run(
            [runner, *map(str, arguments)], capture_output=True, text=True, timeout=300, **options
        )
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        said = done.stderr.strip().splitlines()
        if done.returncode:
            assert said[-1].startswith("edgetrain-runner: "), done.stderr
        return Run(done.returncode, lines, said)

    return call


@pytest.fixture(scope="session")
def is_sanitized(runner: Path) -> bool:
    """Whether the build holds sanitizers, which take memory and time of their own."""
    return b"__asan_init" in runner.read_bytes()


@dataclass(frozen=True)
class Packed:
    """A data set as packed files."""

    train: Path
    test: Path


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """The digits."""
    from edgetrain.config.data import DataConfig
    from edgetrain.data import load_dataset

    folder = tmp_path_factory.mktemp("packed")
    dataset = load_dataset(
        DataConfig.model_validate({"name": "digits", "images_per_class": 20, "test_images_per_class": 10})
    )
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        samples = split.samples(torch.arange(len(split)))
        write_tensors(folder / f"{name}.ptd", {**samples.inputs, **samples.targets})
    return Packed(folder / "train.ptd", folder / "test.ptd")


@pytest.fixture(scope="session")
def turn_dropout_off() -> Callable[[Path], Path]:
    """Edits a program in place."""

    def edit(program: Path) -> Path:
        program.write_bytes(without_dropout(program.read_bytes()))
        manifest = load_manifest(manifest_path(program))
        save_manifest(manifest_path(program), manifest.model_copy(update={"program": file_record(program)}))
        return program

    return edit


@pytest.fixture(scope="session")
def cifar_program(made_once: Callable[..., Path], turn_dropout_off: Callable[[Path], Path]) -> Path:
    """A cifar_cnn for batches of up to 4, with its dropout off."""
    from edgetrain.artifacts.checkpoint import Checkpoint, save_checkpoint
    from edgetrain.artifacts.specs import INPUTS, TARGETS, InputSpec, TaskSpec, TensorSpec
    from edgetrain.config.model import ModelConfig
    from edgetrain.config.stages import ExportCommand
    from edgetrain.export import export
    from edgetrain.models import build_model

    def fill(folder: Path) -> None:
        torch.manual_seed(0)
        config = ModelConfig(name="cifar_cnn")
        checkpoint = Checkpoint(
            model=config,
            state=build_model(config).state_dict(),
            inputs={INPUTS: InputSpec(shape=(3, 32, 32))},
            targets={TARGETS: TensorSpec(shape=(), dtype="int64")},
            task=TaskSpec(name="classification", loss="cross_entropy", classes=tuple(map(str, range(10)))),
        )
        save_checkpoint(folder / "model.pth", checkpoint)
        command = ExportCommand.model_validate({"export": {"max_batch_size": 4}})
        turn_dropout_off(export(command, folder / "model.pth", folder / "model").program)

    return made_once("cifar", fill) / "model.pte"


@pytest.fixture(scope="session")
def damages() -> int:
    """Damaged versions of each file to try; $EDGETRAIN_DAMAGES for a longer look."""
    return int(os.environ.get("EDGETRAIN_DAMAGES", "60"))
