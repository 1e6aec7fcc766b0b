"""A clock that goes backwards, as where a device without a battery meets a time server."""

from __future__ import annotations

import itertools
import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.checkpoint import load_checkpoint
from edgetrain.artifacts.history import load_history
from edgetrain.config.stages import TrainCommand
from edgetrain.training import train

ROOT = Path(__file__).parents[2]
PROMISE = "A clock that goes backwards changes nothing"
WALL_CLOCK = re.compile(r"\btime\.time\(|datetime\.now|system_clock|gettimeofday|CLOCK_REALTIME")
# It says when something was measured, to people.
STAMPS = {"src/edgetrain/bench/stage.py"}


@pytest.mark.promise(PROMISE)
def test_nothing_but_a_stamp_reads_it() -> None:
    files = [
        path
        for folder, pattern in (
            ("src", "*.py"),
            ("native/core", "*"),
            ("native/runner", "*"),
            ("native/kernels", "*"),
        )
        for path in (ROOT / folder).rglob(pattern)
        if path.suffix in (".py", ".cpp", ".h")
    ]
    assert len(files) > 300
    found = {path.relative_to(ROOT).as_posix() for path in files if WALL_CLOCK.search(path.read_text())}
    assert found == STAMPS


@pytest.mark.promise(PROMISE)
def test_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"epochs": 2, "batch_size": 32, "device": "cpu", "threads": 1, "save_every": 1}
    data = {"name": "digits", "images_per_class": 10, "test_images_per_class": 5}
    command = TrainCommand.model_validate({"train": settings, "data": data, "model": {"name": "mlp"}})
    expected = load_checkpoint(train(command, tmp_path / "a.pth").checkpoint).state
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", itertools.count(2e9, -3600).__next__)
        result = train(command, tmp_path / "b.pth")
    found = load_checkpoint(result.checkpoint).state
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert all((epoch.train_time_s or 0) >= 0 for epoch in load_history(tmp_path / "b.history.json").epochs)
