"""Real checkpoints and programs, made once for all processes of a test run. Tests copy what they change."""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# Before torch is imported: tests run side by side, one on each core, and so do processes that they start.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from edgetrain.factories import Trusted
from edgetrain.reporting import Progress, Reporter

CUSTOM_MODEL = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5),
            nn.Linear(256, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.25),
        )
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        return self.head(self.body(x))


def make(num_classes=10):
    return Net(num_classes)
"""
DIGITS = {"name": "digits", "images_per_class": 20, "test_images_per_class": 10}

# Exports make many objects that stay: looking for garbage after every 700 takes a twentieth of the time.
gc.set_threshold(50_000, 20, 100)

# Fills a new folder, which many tests read.
Fill = Callable[[Path], None]


@dataclass(frozen=True)
class Made:
    """A checkpoint and the program exported from it; `model` is what `--model` must be given."""

    checkpoint: Path
    program: Path
    model: str | None = None

    @property
    def trusted(self) -> Trusted:
        return Trusted(model=self.model)

    @property
    def weights(self) -> Path:
        return self.program.with_suffix(".ptd")

    @property
    def manifest(self) -> Path:
        return self.program.with_suffix(".json")

    def copy_to(self, folder: Path) -> Made:
        """The same files in another folder."""
        files = [self.checkpoint, *(self.program.with_suffix(s) for s in (".pte", ".ptd", ".json"))]
        for path in files:
            if path.exists():
                shutil.copy(path, folder)
        return Made(folder / self.checkpoint.name, folder / self.program.name, self.model)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Fill], Path]:
    """`made_once(name, fill)`: the folder of that name, filled by the process that is first to need it; the
    others wait for it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def get(name: str, fill: Fill) -> Path:
        folder, filled = shared / f"shared-{name}", shared / f"shared-{name}.filled"
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not filled.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                filled.touch()
        return folder

    return get


def _make(
    folder: Path, training: dict[str, Any], exporting: dict[str, Any], model: str | None = None
) -> None:
    """Trains model.pth, and exports it as model.pte."""
    from edgetrain.config.stages import ExportCommand, TrainCommand
    from edgetrain.export import export
    from edgetrain.training import train

    base = {
        "train": {"epochs": 1, "batch_size": 32, "threads": 1, "device": "cpu"},
        "optimizer": {"lr": 0.05},
    }
    checkpoint = train(TrainCommand.model_validate({**base, **training}), folder / "model.pth").checkpoint
    command = ExportCommand.model_validate({"export": exporting})
    export(command, checkpoint, folder / "model", trusted=Trusted(model=model))


def _made(folder: Path, model: str | None = None) -> Made:
    return Made(folder / "model.pth", folder / "model.pte", model)


@pytest.fixture(scope="session")
def digits_program(made_once: Callable[[str, Fill], Path]) -> Made:
    """digits_cnn, all weights trainable, in a .ptd; batches up to 32. No dropout, no batch norm."""
    training = {"data": {**DIGITS, "images_per_class": 40}}
    return _made(made_once("digits", lambda folder: _make(folder, training, {})))


@pytest.fixture(scope="session")
def inline_program(made_once: Callable[[str, Fill], Path], digits_program: Made) -> Made:
    """An untrained digits_cnn whose last two biases are all zero, its weights inside the program, only the
    classifier trainable; batches up to 16."""
    from edgetrain.artifacts.checkpoint import load_checkpoint, save_checkpoint
    from edgetrain.config.stages import ExportCommand
    from edgetrain.export import export

    def fill(folder: Path) -> None:
        checkpoint = load_checkpoint(digits_program.checkpoint)
        for name in ("classifier.0.bias", "classifier.2.bias"):
            checkpoint.state[name] = torch.zeros_like(checkpoint.state[name])
        # Two tensors with the same bytes share them in a program, if they also have the same shape.
        checkpoint.state["features.0.bias"] = torch.zeros_like(checkpoint.state["features.0.bias"])
        save_checkpoint(folder / "model.pth", checkpoint)
        settings = {"weights": "inline", "trainable": ["classifier.*"], "max_batch_size": 16}
        export(ExportCommand.model_validate({"export": settings}), folder / "model.pth", folder / "model")

    return _made(made_once("inline", fill))


@pytest.fixture(scope="session")
def noisy_program(made_once: Callable[[str, Fill], Path], tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Somebody's own model with dropout and batch norm, exported with `batch_norm: train`."""
    code = tmp_path_factory.mktemp("noisy")
    (code / "edgetrain_test_model.py").write_text(CUSTOM_MODEL)
    # Children get this path, too: multiprocessing hands it on.
    sys.path.insert(0, str(code))
    name = "edgetrain_test_model:make"
    training = {"data": DIGITS, "model": {"name": name}}
    exporting = {"batch_norm": "train", "max_batch_size": 8}
    return _made(made_once("noisy", lambda folder: _make(folder, training, exporting, name)), name)


@pytest.fixture(scope="session")
def regression_data(made_once: Callable[[str, Fill], Path]) -> Path:
    """Samples of 6 numbers with 2 target values each, in a .npz."""
    import numpy as np

    def fill(folder: Path) -> None:
        random = np.random.default_rng(0)
        inputs = random.normal(size=(90, 6)).astype("float32")
        targets = (inputs @ random.normal(size=(6, 2))).astype("float32")
        np.savez(folder / "data.npz", inputs=inputs, targets=targets)

    return made_once("regression-data", fill) / "data.npz"


@pytest.fixture(scope="session")
def regression_program(made_once: Callable[[str, Fill], Path], regression_data: Path) -> Made:
    """An mlp with mean squared error."""
    training = {
        "data": {"name": "arrays", "root": regression_data},
        "model": {"name": "mlp", "args": {"hidden": [8]}},
        "loss": {"name": "l1"},
        "optimizer": {"lr": 0.01},
    }
    return _made(made_once("regression", lambda folder: _make(folder, training, {})))


@pytest.fixture
def digits(digits_program: Made, tmp_path: Path) -> Made:
    """A copy of the digits program to change."""
    return digits_program.copy_to(tmp_path)


class Listener(Reporter):
    """Keeps messages and losses; `act(step)` is called after each training step."""

    def __init__(self, act: Callable[[int], None] | None = None) -> None:
        self.messages: list[str] = []
        self.losses: list[float] = []
        self.act = act

    def info(self, message: str) -> None:
        self.messages.append(message)

    def epoch(self, message: str) -> None:
        self.messages.append(message)

    def warn(self, message: str) -> None:
        self.messages.append(message)

    @contextmanager
    def progress(self, description: str, total: int | None = None) -> Any:
        yield _Bar(self)


class _Bar(Progress):
    def __init__(self, listener: Listener) -> None:
        self.listener = listener

    def advance(self, steps: int = 1, **fields: float | str) -> None:
        if "lr" in fields:
            self.listener.losses.append(float(fields["loss"]))
            if self.listener.act:
                self.listener.act(len(self.listener.losses))


@pytest.fixture
def listener() -> type[Listener]:
    return Listener


@pytest.fixture
def batch() -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """A random batch for the digits models."""

    def make(size: int = 8, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        inputs = torch.randn(size, 1, 8, 8, generator=generator)
        return inputs, torch.randint(0, 10, (size,), generator=generator)

    return make
