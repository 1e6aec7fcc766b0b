"""As docs/architecture.md promises: a task, a data set, a graph step is one file and one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgetrain.artifacts.history import load_history
from edgetrain.artifacts.manifest import load_manifest

TESTS = Path(__file__).parents[1]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a command line in `folder`, with the additions."""
    path = os.pathsep.join([str(TESTS), str(TESTS / "extending" / "in_each_process")])
    return subprocess.run(
        [sys.executable, "-m", "extending.with_additions", *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip


def test_one_line_each(tmp_path: Path) -> None:
    for command in (
        "train --data line --task closeness --model mlp --model-arg hidden=[8] --epochs 30 --batch-size 8 "
        "--threads 1 --device cpu -o m.pth",
        "export m.pth",
        "finetune m.pte --runtime executorch --epochs 1 -o tuned.ptd",
    ):
        done = run(tmp_path, *command.split())
        assert done.returncode == 0, done.stderr

    trained = load_history(tmp_path / "m.history.json")
    assert trained.epochs[-1].figure("val", "close") == 1

    manifest = load_manifest(tmp_path / "m.json")
    assert (manifest.task.name, manifest.task.loss) == ("closeness", "square")
    assert [metric.name for metric in manifest.contract.metrics] == ["loss", "close"]
    operators = manifest.contract.methods["train"].operators
    assert "aten::mul.out" in operators
    assert not [name for name in operators if name.startswith("aten::pow")]

    tuned = load_history(tmp_path / "tuned.history.json")
    assert tuned.epochs[-1].figure("val", "close") == 1


@pytest.mark.parametrize(
    ("flag", "written", "meant"), [("data", "lime", "line"), ("task", "close", "closeness")]
)
def test_the_command_line_knows_the_new_names(tmp_path: Path, flag: str, written: str, meant: str) -> None:
    done = run(tmp_path, "train", f"--{flag}", written)
    assert done.returncode == 2
    assert f"did you mean '{meant}'?" in done.stderr
