"""What README and quickstart show is run, in their order, and prints what they say, times and sizes aside."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from edgetrain.runner import find_runner

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.thorough,
    pytest.mark.slow,
    pytest.mark.skipif(find_runner() is None, reason="the runner is not installed"),
]
_BLOCK = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
# Numbers with what depends on their length: gaps, lines, powers of ten.
_NUMBER = re.compile(r"\s*[0-9][0-9,.]*(?:e-?[0-9]+)?")


def _shown(page: Path) -> list[tuple[str, list[str]]]:
    """The page's command lines, without comments, and the lines of output below each."""
    found: list[tuple[str, list[str]]] = []
    for block in _BLOCK.findall(page.read_text().replace("\\\n", " ")):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ ").partition("  #")[0].strip(), []))
            elif found:
                found[-1][1].append(line)
    return [(command, output) for command, output in found if command.startswith("edgetrain")]


# Rows whose numbers are those of the same run anywhere, but for rounding in training, which is another one on
# another processor; a loss shows that most.
_SAME = {
    **dict.fromkeys(("steps", "saved epoch", "parameters", "samples"), 0.0),
    **dict.fromkeys(("accuracy", "validation accuracy"), 0.03),
    "loss": 0.25,
}


def _numbers(line: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.findall(r"[0-9][0-9,]*(?:\.[0-9]+)?", line)]


def _without_numbers(line: str) -> str:
    return re.sub(r"[\s─]+", " ", _NUMBER.sub(" N", line)).strip()


def _run(command: str, folder: Path) -> str:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "COLUMNS": "300",
    }
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
    assert not [line for line in done.stderr.splitlines() if "Warning" in line], done.stderr
    return done.stdout


def _compare(command: str, shown: list[str], printed: str) -> None:
    lines = {_without_numbers(line): line for line in printed.splitlines()}
    for line in shown:
        wanted = _without_numbers(line)
        if not wanted or wanted == "...":
            continue
        assert wanted in lines, f"{command} did not print {line!r}, but:\n{printed}"
        for name, tolerance in _SAME.items():
            if line.startswith(f"  {name}  "):
                assert _numbers(lines[wanted]) == pytest.approx(_numbers(line), rel=tolerance), lines[wanted]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a user of the repository is, with the files that README takes for granted."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    Image.new("L", (8, 8), 128).save(tmp_path / "photo.png")
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, stride=8), torch.nn.ReLU(), torch.nn.Flatten())
    traced = torch.jit.trace(net.eval(), torch.zeros(1, 3, 224, 224))
    traced._save_for_lite_interpreter(str(tmp_path / "old.ptl"))
    return tmp_path


def test_quickstart(folder: Path) -> None:
    commands = _shown(ROOT / "docs" / "quickstart.md")
    assert len(commands) >= 7
    for command, shown in commands:
        _compare(command, shown, _run(command, folder))


def test_readme(folder: Path) -> None:
    commands = _shown(ROOT / "README.md")
    assert len(commands) >= 12
    (folder / "runs" / "digits").mkdir(parents=True)
    for command, shown in commands:
        _compare(command, shown, _run(command, folder))
        if command.startswith("edgetrain train"):
            shutil.copy(folder / "model.pth", folder / "runs" / "digits")  # `make demo` made it
