"""Small runs, and a reporter that keeps what it hears and can act at a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from edgetrain.config.stages import TrainCommand
from edgetrain.reporting import Progress, Reporter


class Recorder(Reporter):
    """Keeps messages and per-step losses; `act` is called after each training step."""

    def __init__(self, act: Callable[[int], None] | None = None) -> None:
        self.infos: list[str] = []
        self.warnings: list[str] = []
        self.losses: list[float] = []
        self.rates: list[float] = []
        self._act = act

    def info(self, message: str) -> None:
        self.infos.append(message)

    def epoch(self, message: str) -> None:
        self.infos.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    @contextmanager
    def progress(self, description: str, total: int | None = None) -> Iterator[Progress]:
        yield Bar(self)

    def step(self, loss: float, lr: float) -> None:
        self.losses.append(loss)
        self.rates.append(lr)
        if self._act:
            self._act(len(self.losses))


class Bar(Progress):
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def advance(self, steps: int = 1, **fields: float | str) -> None:
        if "loss" in fields:
            self._recorder.step(float(fields["loss"]), float(fields["lr"]))


@pytest.fixture
def recorder() -> Callable[..., Recorder]:
    return Recorder


@pytest.fixture(scope="session")
def small() -> Callable[..., TrainCommand]:
    """A run of seconds: images of 8x8 with random crops, dropout, momentum, a schedule; 8 steps an epoch."""

    def make(**sections: dict[str, Any]) -> TrainCommand:
        base: dict[str, dict[str, Any]] = {
            "data": {"name": "digits", "images_per_class": 12, "test_images_per_class": 5, "crop_padding": 1},
            "model": {"name": "mlp", "args": {"hidden": [24], "dropout": 0.3}},
            "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
            "schedule": {"name": "cosine", "warmup_steps": 4},
            "train": {"epochs": 3, "batch_size": 16, "threads": 1, "device": "cpu"},
        }
        for name, values in sections.items():
            base[name] = {**base.get(name, {}), **values}
        return TrainCommand.model_validate(base)

    return make
