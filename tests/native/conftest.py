"""The runner, built once, and data packed for it."""

from __future__ import annotations

import importlib.util
import json
import os
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
from edgetrain.artifacts.program import without_dropout
from edgetrain.artifacts.tensors import write_tensors

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


@pytest.fixture(scope="session")
def native_build() -> Path:
    """The built programs: those in $EDGETRAIN_NATIVE_BUILD, or build/native, brought up to date."""
    given = os.environ.get("EDGETRAIN_NATIVE_BUILD")
    if given:
        return Path(given)
    cmake = shutil.which("cmake", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if cmake is None or shutil.which("c++") is None:
        pytest.skip("needs a C++ compiler and CMake (pip install cmake)")
    text = subprocess.run([cmake, "--version"], capture_output=True, text=True, check=True).stdout
    if tuple(int(n) for n in text.split()[2].split(".")[:2]) < (3, 28):
        pytest.skip("needs CMake 3.28 or newer (pip install cmake)")
    spec = importlib.util.find_spec("executorch")
    assert spec is not None
    assert spec.submodule_search_locations
    build = REPOSITORY / "build" / "native"
    prefix = f"-DCMAKE_PREFIX_PATH={next(iter(spec.submodule_search_locations))}"
    subprocess.run([cmake, "-S", REPOSITORY / "native", "-B", build, prefix], check=True, capture_output=True)
    made = subprocess.run([cmake, "--build", build, "-j2"], capture_output=True, text=True)
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
        inputs = split.inputs(torch.arange(len(split))).contiguous()
        write_tensors(folder / f"{name}.ptd", {"inputs": inputs, "targets": split.targets})
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
def damages() -> int:
    """Damaged versions of each file to try; $EDGETRAIN_DAMAGES for a longer look."""
    return int(os.environ.get("EDGETRAIN_DAMAGES", "60"))
