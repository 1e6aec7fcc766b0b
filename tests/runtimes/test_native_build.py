"""Building a runner for given programs: what CMake is told, and what users are told where it can't."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from edgetrain.errors import EdgetrainError, InputError
from edgetrain.runtimes import native_build
from edgetrain.runtimes.native_build import Target, build_runner


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The commands that CMake gets, none of which is run but the last, which installs two files."""
    commands: list[tuple[str, ...]] = []

    def cmake(_: Any, *arguments: Any) -> None:
        words = tuple(map(str, arguments))
        commands.append(words)
        if words[0] == "--install":
            stage = Path(words[words.index("--prefix") + 1])
            for name, size in (("bin/edgetrain-runner", 100), ("lib/libexecutorch.so", 50)):
                (stage / name).parent.mkdir()
                (stage / name).write_bytes(b"x" * size)
            (stage / "bin" / "edgetrain-runner").chmod(0o755)

    monkeypatch.setattr(native_build._Tools, "cmake", cmake)
    return commands


def test_a_folder_for_a_device(told: list[tuple[str, ...]], digits_program: Any, tmp_path: Path) -> None:
    built = build_runner([digits_program.program], tmp_path / "device")
    assert built.runner == tmp_path / "device" / "bin" / "edgetrain-runner"
    assert built.runner.stat().st_mode & 0o111
    assert (built.runner_bytes, built.folder_bytes) == (100, 150)
    configure = told[0]
    (operators,) = [word for word in configure if word.startswith("-DEDGETRAIN_OPERATORS=")]
    assert set(operators.partition("=")[2].split(";")) == set(built.needs.operators)
    assert "-DEDGETRAIN_ISAS=native" in configure
    assert "-DEDGETRAIN_ADOPT=OFF" in configure
    assert any("32,1,8,8,16,8,8,3,3,1,1,1,1,1,1,1" in word for word in configure)


def test_another_machine(told: list[tuple[str, ...]], digits_program: Any, tmp_path: Path) -> None:
    program = shutil.copy(digits_program.program, tmp_path / "adopted.pte")
    target = Target(toolchain=tmp_path / "arm.cmake", executorch=tmp_path / "executorch", isas=())
    build_runner([Path(program)], tmp_path / "device", target)
    assert f"-DCMAKE_TOOLCHAIN_FILE={tmp_path / 'arm.cmake'}" in told[0]
    assert f"-DCMAKE_PREFIX_PATH={tmp_path / 'executorch'}" in told[0]
    assert "-DEDGETRAIN_ISAS=" in told[0]
    # Without a manifest it may be a program of ExecuTorch's own exporter.
    assert "-DEDGETRAIN_ADOPT=ON" in told[0]


def test_without_cmake(digits_program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(EdgetrainError, match=r"needs CMake 3\.28 or newer, which"):
        build_runner([digits_program.program], tmp_path / "device")


def test_an_instruction_set_of_another_machine(digits_program: Any, tmp_path: Path) -> None:
    if shutil.which("cmake", path=str(Path(sys.executable).parent)) is None or shutil.which("c++") is None:
        pytest.skip("needs CMake beside Python, and a compiler")
    with pytest.raises(EdgetrainError, match="has no instruction set mmx, only baseline"):
        build_runner([digits_program.program], tmp_path / "device", Target(isas=("mmx",)))
    assert not (tmp_path / "device").exists()


def test_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't read"):
        build_runner([tmp_path / "nothing.pte"], tmp_path / "device")
