"""Running command lines in this process, with stages that only write down how they were called."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgetrain.artifacts.contract import Metric
from edgetrain.artifacts.history import EpochRecord, History
from edgetrain.cli.app import main

# Modules beside this one that several tests share.
sys.path.insert(0, str(Path(__file__).parent))

LOSS = Metric(name="loss", top="loss_sum", bottom="count", better="lower")


@dataclass
class Ran:
    """What one command line did."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs a command line in this process."""

    def call(*arguments: str | Path) -> Ran:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def stand_in(folder: Path) -> Callable[[str, str], Path]:
    """Writes files that are of a kind as far as one sees without reading them: `stand_in("x.pth",
    "checkpoint")`."""

    def write(name: str, kind: str) -> Path:
        path = folder / name
        if kind == "checkpoint":
            with zipfile.ZipFile(path, "w") as file:
                file.writestr("archive/data.pkl", "")
        else:
            path.write_text({"program": "....ET12", "file of weights": "....FT01"}[kind])
        return path

    return write


@pytest.fixture
def fake_stage(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces functions of a stage: `fake_stage("training", train=function)`."""

    def install(name: str, **functions: Any) -> None:
        module = importlib.import_module(f"edgetrain.{name}")
        for function, fake in functions.items():
            monkeypatch.setattr(module, function, fake)

    return install


@pytest.fixture
def history() -> History:
    """Two epochs of a run."""
    epochs = [
        EpochRecord(epoch=0, val_loss=2.0),
        EpochRecord(epoch=1, train_loss=1.0, val_loss=0.5, train_time_per_sample_s=0.002, steps=4),
    ]
    return History(runtime="torch", device="cpu", threads=1, seed=0, metrics=[LOSS], epochs=epochs)


@pytest.fixture
def train_calls(fake_stage: Callable[..., None], history: History) -> list[SimpleNamespace]:
    """A training stage that writes nothing; returns the list of its calls."""
    calls: list[SimpleNamespace] = []

    def train(config: Any, output: Path, *, resume: bool, reporter: Any, **more: Any) -> SimpleNamespace:
        calls.append(SimpleNamespace(config=config, output=output, resume=resume, reporter=reporter))
        return SimpleNamespace(
            checkpoint=output,
            last=output.with_suffix(".last.pth"),
            history_path=output.with_suffix(".json"),
            history=history,
            best_epoch=1,
            figures={"loss": float("nan")},
        )

    fake_stage("training", train=train)
    return calls


def spawn(*arguments: str | Path, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command line in a process of its own."""
    environment = {**os.environ, **settings.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-m", "edgetrain", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=60,
        **settings,
    )


@pytest.fixture(name="spawn")
def _spawn() -> Callable[..., subprocess.CompletedProcess[str]]:
    return spawn
