"""Training ends where no better epoch is waited for, and goes on with more patience."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from edgetrain.artifacts.checkpoint import load_checkpoint
from edgetrain.artifacts.history import load_history
from edgetrain.training import train


def test_patience(tmp_path: Path, small: Callable[..., Any], recorder: Callable[..., Any]) -> None:
    def run(name: str, resume: bool = False, reporter: Any = None, **settings: Any) -> Any:
        config = small(train={"epochs": 12, **settings}, optimizer={"lr": 0.9, "momentum": 0.9})
        reporter = reporter or recorder()
        return train(config, tmp_path / name, resume=resume, reporter=reporter)

    every = run("every.pth").history.epochs
    scores = [(e.figure("val", "accuracy"), -e.val_loss) for e in every]
    best, end = 0, 0
    while end < 11 and end < best + 2:
        end += 1
        best = end if scores[end] > scores[best] else best
    assert end < 11, f"the run is no test any more: {scores}"

    heard = recorder()
    result = run("short.pth", patience=2, reporter=heard)
    assert [e.epoch for e in result.history.epochs] == list(range(1, end + 2))
    assert result.best_epoch == load_history(result.history_path).best_epoch == best + 1
    assert f"stopped early: no epoch was better than epoch {best + 1}" in heard.infos
    again = run("short.pth", resume=True, patience=2, reporter=heard)
    assert again.history.epochs == result.history.epochs
    assert heard.infos[-1].startswith("the run is finished already")

    run("short.pth", resume=True)
    one, other = (load_checkpoint(tmp_path / f"{name}.last.pth").state for name in ("every", "short"))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
