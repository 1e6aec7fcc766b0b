"""Files of all kinds that the runner reads, changed at random and given the hash that they then should have:
it refuses them or takes them, and lives."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edgetrain.cli.app import main

CORPUS = Path(__file__).parents[2] / "native" / "tests" / "fuzz" / "corpus"
PROMISE = "No changed file ends the runner without a message, also with its hash made anew"


@pytest.fixture(scope="module")
def seeds(digits_program: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good file of each kind, by the names that native/tests/fuzz/inputs.cpp knows them by."""
    folder = tmp_path_factory.mktemp("seeds")
    assert main(["export", str(digits_program.checkpoint), "-o", str(folder / "program.pte"), "-q"]) == 0
    assert main(["pack", "--images-per-class", "1", "-o", str(folder / "data.ptd"), "-q"]) == 0
    tuned = folder / "tuned.ptd"
    job = ["--set", "finetune.max_steps=1", "--images-per-class", "4", "--runtime", "executorch", "-q"]
    assert main(["finetune", str(folder / "program.pte"), "-o", str(tuned), *job]) == 0
    kept = {"program.pte", "program.ptd", "program.json", "data.ptd", "data.json", "tuned.ptd"}
    for path in folder.iterdir():
        if path.name not in kept:
            path.unlink()
    (folder / "cifar.bin").write_bytes(bytes(1 + 3 * 32 * 32))
    return folder


def fuzz(build: Path, *arguments: Path | str) -> tuple[list[str], dict[str, int]]:
    """What the program says, and its last line."""
    done = subprocess.run([build / "fuzz", *map(str, arguments)], capture_output=True, text=True, timeout=300)
    lines = done.stdout.splitlines()
    assert lines, done.stderr
    return lines, json.loads(lines[-1])


def look(build: Path, seeds: Path, work: Path, seconds: int, seed: int) -> dict[str, int]:
    lines, counted = fuzz(build, seeds, work, str(seconds), str(seed))
    reports = "\n".join(
        path.read_text(errors="replace")[-3000:] for path in sorted(work.glob("*.report"))[:3]
    )
    assert counted["ended"] == 0, "\n".join(lines) + reports
    known = json.loads(lines[0])
    # One image of CIFAR-10 doesn't fit the digits.
    assert known["taken"] == known["seeds"] - 1, "a seed is out of date"
    assert counted["refused"] > 10
    return counted


@pytest.mark.promise(PROMISE, cases=1)
def test_for_some_seconds(native_build: Path, seeds: Path, tmp_path: Path) -> None:
    counted = look(native_build, seeds, tmp_path, 5, 1)
    assert counted["taken"] > 0, "some changes matter to nobody"


@pytest.mark.thorough
@pytest.mark.promise(PROMISE, cases=1)
def test_for_a_minute(native_build: Path, seeds: Path, tmp_path: Path) -> None:
    look(native_build, seeds, tmp_path, 60, 2)


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*-*")), ids=lambda path: path.name)
def test_what_was_found_once(native_build: Path, seeds: Path, tmp_path: Path, path: Path) -> None:
    shutil.copytree(seeds, tmp_path, dirs_exist_ok=True)
    _, counted = fuzz(native_build, seeds, tmp_path, path)
    assert counted["ended"] == 0
