"""examples/Makefile rebuilds what has to be rebuilt and nothing else. A script stands in for edgetrain."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXPORT = "export runs/a/model.pth"
TUNE = ["finetune runs/a/tuned.ptd", "finetune runs/a/tuned-torch.ptd"]
BENCH = "bench runs/a/bench.json"
# Notes the command with what it writes (export: reads), and makes the files of the real one.
FAKE = """#!/bin/sh
command=$1; input=$2
while [ $# -gt 0 ]; do [ "$1" = -o ] && output=$2; shift; done
case $command in
  train) mkdir -p "${output%/*}"; touch "$output"; echo "train $output" ;;
  export) touch "$output.pte" "$output.ptd" "$output.json"; echo "export $input" ;;
  finetune) touch "$output" "${output%.ptd}.history.json"; echo "finetune $output" ;;
  bench) touch "$output"; echo "bench $output" ;;
  compare) echo compare ;;
esac >> log
"""

Make = Callable[..., list[str]]
# The tests may themselves run under make, which tells the makes below it so and has them print more.
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
}


def run_make(command: list[str], folder: Path) -> str:
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Runs make in a copy of the example; returns what edgetrain was called for, except `compare`, which
    always runs."""
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    for name in ("examples/Makefile", "configs/digits.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    script = tmp_path / "edgetrain.sh"
    script.write_text(FAKE)
    script.chmod(0o755)

    def run(*arguments: str) -> list[str]:
        log = tmp_path / "log"
        log.write_text("")
        command = ["make", "-f", "examples/Makefile", "demo", "RUN=runs/a", f"EDGETRAIN={script}", *arguments]
        run_make(command, tmp_path)
        return [line for line in log.read_text().splitlines() if line != "compare"]

    return run


@pytest.fixture
def made(make: Make, tmp_path: Path) -> Path:
    """The folder of a run in which everything is there, each file older than what is made from it."""
    assert make() == ["train runs/a/model.pth", EXPORT, BENCH, *TUNE]
    folder = tmp_path / "runs" / "a"
    ages = {"digits.yaml": 1, "model.pth": 2, "model.pte": 3, "model.ptd": 3, "model.json": 3}
    for path in [tmp_path / "configs" / "digits.yaml", *folder.iterdir()]:
        os.utime(path, (ages.get(path.name, 4),) * 2)
    return folder


def test_nothing_to_do(make: Make, made: Path, tmp_path: Path) -> None:
    assert make() == []
    command = ["make", "-n", "-f", "examples/Makefile", "demo", "RUN=runs/a", "EDGETRAIN=edgetrain"]
    assert (
        run_make(command, tmp_path)
        == "edgetrain compare runs/a/tuned-torch.history.json runs/a/tuned.history.json\n"
    )


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("model.pth", [EXPORT, BENCH, *TUNE]),
        ("model.pte", [BENCH, *TUNE]),
        ("model.ptd", [BENCH, *TUNE]),
        ("model.json", [BENCH, *TUNE]),
        ("tuned.ptd", []),
        ("bench.json", []),
    ],
)
def test_only_what_changed_is_rebuilt(make: Make, made: Path, changed: str, expected: list[str]) -> None:
    os.utime(made / changed, (9, 9))
    assert make() == expected


@pytest.mark.parametrize(
    ("deleted", "expected"),
    [
        (["model.pte"], [EXPORT, BENCH, *TUNE]),
        (["model.ptd"], [EXPORT, BENCH, *TUNE]),
        (["model.json"], [EXPORT, BENCH, *TUNE]),
        (["model.pte", "model.ptd", "model.json"], [EXPORT, BENCH, *TUNE]),
        (["tuned.ptd"], TUNE[:1]),
        (["tuned-torch.ptd"], TUNE[1:]),
        (["bench.json"], [BENCH]),
    ],
)
@pytest.mark.parametrize("jobs", ["-j1", "-j4"])
def test_deleted_files_are_remade(
    make: Make, made: Path, deleted: list[str], expected: list[str], jobs: str
) -> None:
    for name in deleted:
        (made / name).unlink()
    assert sorted(make(jobs)) == sorted(expected)
    assert all((made / name).exists() for name in deleted)


def test_other_options_need_another_run(make: Make, made: Path) -> None:
    assert make("SHIFT=invert") == []
    assert len(make("SHIFT=invert", "RUN=runs/b")) == 5


def test_clean_keeps_what_was_trained_and_data(tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    shutil.copy(ROOT / "Makefile", tmp_path)
    kept = [
        "runs/a/model.pth",
        "build/cifar10/train/0.jpg",
        "build/mine/x.npz",
        "native/x.cpp",
        ".venv/bin/python",
    ]
    gone = ["build/native/CMakeCache.txt", "build/native-asan/x.o", "dist/x.whl", ".ruff_cache/x"]
    for name in kept + gone:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    run_make(["make", "clean"], tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"Makefile", *kept}
