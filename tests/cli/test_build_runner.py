"""`edgetrain build-runner`, and `export --runner`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetrain.artifacts.program_needs import ProgramNeeds
from edgetrain.runtimes import native_build
from edgetrain.runtimes.native_build import RUNNER, BuiltRunner, Target


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The calls of the function that builds, instead of which nothing is built."""
    calls: list[tuple[Any, ...]] = []

    def build(programs: Any, folder: Path, target: Any = None, **_: Any) -> BuiltRunner:
        calls.append((programs, folder, target))
        needs = ProgramNeeds(operators=("aten::mm.out",), types=("float32",), convolutions=())
        return BuiltRunner(folder / RUNNER, 400_000, 1_000_000, needs)

    monkeypatch.setattr(native_build, "build_runner", build)
    return calls


def test_what_was_built(
    run: Callable[..., Any], stand_in: Callable[[str, str], Path], builds: list[tuple[Any, ...]]
) -> None:
    programs = [stand_in("a.pte", "program"), stand_in("b.pte", "program")]
    ran = run("build-runner", *programs, "-o", "device", "--json")
    assert ran.code == 0, ran.stderr
    assert builds == [(programs, Path("device"), Target(isas=("native",)))]
    document = json.loads(ran.stdout)
    assert document["command"] == "build-runner"
    assert document["runner"] == "device/bin/edgetrain-runner"
    assert document["runner_bytes"] == 400_000
    assert document["operators"] == ["aten::mm.out"]


@pytest.mark.parametrize(
    ("flags", "isas"),
    [
        (["--isa", "avx2,avx512"], ("avx2", "avx512")),
        (["--isa", "all"], ()),
        (["--toolchain", "arm.cmake"], ()),
        (["--toolchain", "arm.cmake", "--isa", "neon"], ("neon",)),
    ],
)
def test_instruction_sets(
    flags: list[str],
    isas: tuple[str, ...],
    run: Callable[..., Any],
    stand_in: Callable[[str, str], Path],
    builds: list[tuple[Any, ...]],
) -> None:
    assert run("build-runner", stand_in("a.pte", "program"), "-o", "device", *flags).code == 0
    assert builds[0][2].isas == isas


def test_no_program(run: Callable[..., Any], stand_in: Callable[[str, str], Path]) -> None:
    ran = run("build-runner", stand_in("a.pth", "checkpoint"), "-o", "device")
    assert ran.code == 3
    assert "build-runner takes a program" in ran.stderr
    assert run("build-runner", "nothing.pte", "-o", "device").code == 3
