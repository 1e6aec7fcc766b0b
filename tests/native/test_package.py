"""The library as it is installed for apps: headers, archive and CMake package."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetrain.artifacts.tensors import read_tensors

Runner = Callable[..., Any]
APP = Path(__file__).parents[2] / "native" / "tests" / "app"


@pytest.fixture(scope="module")
def cmake() -> str:
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    found = shutil.which("cmake", path=path)
    if found is None:
        pytest.skip("needs CMake (pip install cmake)")
    return found


@pytest.fixture(scope="module")
def package(cmake: str, native_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder it is installed in."""
    folder = tmp_path_factory.mktemp("package")
    command = [cmake, "--install", native_build, "--prefix", folder, "--component", "core"]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.mark.slow
def test_an_app_trains(
    package: Path,
    cmake: str,
    digits_program: Any,
    packed: Any,
    run: Runner,
    is_sanitized: bool,
    tmp_path: Path,
) -> None:
    if is_sanitized:
        pytest.skip("an app without sanitizers can't be linked with a library that has them")
    spec = importlib.util.find_spec("executorch")
    assert spec is not None
    assert spec.submodule_search_locations
    prefixes = f"{package};{next(iter(spec.submodule_search_locations))}"
    configure = [cmake, "-S", APP, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefixes}"]
    subprocess.run(configure, check=True, capture_output=True)
    built = subprocess.run([cmake, "--build", tmp_path / "build"], capture_output=True, text=True)
    assert built.returncode == 0, built.stdout[-3000:]
    out = tmp_path / "tuned.ptd"
    command = [tmp_path / "build" / "app", digits_program.program, packed.train, out]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""

    flags = ["--data", packed.train, "-o", tmp_path / "other.ptd", "--max-steps", 6, "--log-steps"]
    expected = run("train", digits_program.program, *flags)
    assert [float(line) for line in done.stdout.split()] == pytest.approx(expected.losses, rel=1e-5)
    assert out.read_bytes() == (tmp_path / "other.ptd").read_bytes()
    assert read_tensors(out).pairing == read_tensors(digits_program.weights).pairing


def test_what_is_installed(package: Path) -> None:
    headers = {path.name for path in (package / "include" / "edgetrain").iterdir()}
    assert {"finetune.h", "program.h", "job.h", "observer.h", "result.h"} <= headers
    files = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    assert {
        "lib/libedgetrain.a",
        "lib/cmake/edgetrain/edgetrainConfig.cmake",
        "lib/cmake/edgetrain/edgetrainConfigVersion.cmake",
        "lib/cmake/edgetrain/edgetrainTargets.cmake",
    } <= files
    assert not [name for name in files if name.startswith("bin/")]


def test_a_device_gets_no_headers(cmake: str, native_build: Path, tmp_path: Path) -> None:
    subprocess.run([cmake, "--install", native_build, "--prefix", tmp_path], check=True, capture_output=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "lib"]
    assert not list(tmp_path.rglob("*.h")) + list(tmp_path.rglob("*.a"))
