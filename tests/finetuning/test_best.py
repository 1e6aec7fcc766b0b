"""The best epoch is kept, and none is waited for in vain: alike in every runtime, and exact when resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.checkpoint import load_checkpoint
from edgetrain.artifacts.history import load_history
from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.run_state import load_run
from edgetrain.config.stages import FinetuneCommand
from edgetrain.errors import UsageError
from edgetrain.finetuning import FinetuneResult
from edgetrain.finetuning.stage import finetune_here as finetune
from edgetrain.runner import find_runner

DIGITS = {"name": "digits", "images_per_class": 10, "test_images_per_class": 5, "shift": ["rotate:90"]}
needs_runner = pytest.mark.skipif(find_runner() is None, reason="needs the native runner")
every_runtime = pytest.mark.parametrize(
    "runtime", [pytest.param("native", marks=needs_runner), "executorch", "torch"]
)


def run(made: Any, output: Path, runtime: str, resume: bool = False, **settings: Any) -> FinetuneResult:
    """100 samples in batches of 15: 7 steps an epoch. The learning rate is too high for steady progress."""
    finetuning = {"runtime": runtime, "epochs": 11, "batch_size": 15, "threads": 1, **settings}
    to_pth = finetuning.pop("to_pth", None)
    config = {"data": DIGITS, "optimizer": {"lr": 0.2, "momentum": 0.9}, "finetune": finetuning}
    return finetune(
        FinetuneCommand.model_validate(config), made.program, output, resume=resume, to_pth=to_pth
    )


def weights_of(made: Any, output: Path) -> dict[str, torch.Tensor]:
    return load_program(made.program, output).tensors()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@every_runtime
def test_the_best_epoch_is_kept(digits_program: Any, tmp_path: Path, runtime: str) -> None:
    """The output is what a run of as many epochs leaves, however it was interrupted."""
    every = run(digits_program, tmp_path / "every.ptd", runtime).history
    scores = [(e.figure("val", "accuracy"), -(e.val_loss or 0)) for e in every.epochs]
    best, end = 1, 1
    while end < 11 and end < best + 4:
        end += 1
        best = end if scores[end] > scores[best] else best
    assert 1 < best < end, f"the run is no test any more: its best epoch is {best} ({scores})"
    assert every.best_epoch is None
    run(digits_program, tmp_path / "short.ptd", runtime, epochs=best)
    expected = weights_of(digits_program, tmp_path / "short.ptd")
    assert not same(expected, weights_of(digits_program, tmp_path / "every.ptd"))

    kept = tmp_path / "kept.ptd"
    result = run(digits_program, kept, runtime, keep="best", patience=4, to_pth=tmp_path / "kept.pth")
    assert [e.epoch for e in result.history.epochs] == list(range(end + 1))
    assert result.history.best_epoch == load_history(result.history_path).best_epoch == best
    assert result.after.figures == result.history.epochs[best].figures("val")
    assert same(expected, weights_of(digits_program, kept))
    folded = load_checkpoint(tmp_path / "kept.pth")
    assert same({n: t for n, t in folded.state.items() if n in expected}, expected)
    assert folded.metrics["epoch"] == best

    # Stopped within an epoch and at the ends of epochs, its output lost: nothing changes.
    parts = tmp_path / "parts.ptd"
    run(digits_program, parts, runtime, keep="best", patience=4, max_steps=10)
    assert load_run(tmp_path / "parts.state.ptd").record.best_epoch == 1
    for epochs in (best, best + 1):
        run(digits_program, parts, runtime, True, keep="best", patience=4, epochs=epochs)
        assert same(expected, weights_of(digits_program, parts))
        parts.unlink()
    again = run(digits_program, parts, runtime, True, keep="best", patience=4)
    assert (again.history.best_epoch, len(again.history.epochs)) == (best, end + 1)
    assert same(expected, weights_of(digits_program, parts))
    whole, found = load_run(tmp_path / "kept.state.ptd"), load_run(tmp_path / "parts.state.ptd")
    assert same(whole.weights, found.weights)
    assert same(whole.first, found.first)
    # More patience goes on; the last weights are the run's that never stopped.
    run(digits_program, parts, runtime, True, keep="best")
    assert same(
        load_run(tmp_path / "every.state.ptd").weights, load_run(tmp_path / "parts.state.ptd").weights
    )


@every_runtime
def test_patience_alone_keeps_the_last_weights(digits_program: Any, tmp_path: Path, runtime: str) -> None:
    result = run(digits_program, tmp_path / "a.ptd", runtime, patience=2, best_by="loss", epochs=30)
    losses = [e.val_loss for e in result.history.epochs[1:]]
    assert 2 < len(losses) < 30
    assert min(losses) == losses[-3]
    assert all(min(losses[: i + 1]) in losses[max(0, i - 1) : i + 1] for i in range(len(losses) - 1))
    assert result.history.best_epoch is None
    run(digits_program, tmp_path / "b.ptd", runtime, epochs=len(losses))
    assert same(
        weights_of(digits_program, tmp_path / "a.ptd"), weights_of(digits_program, tmp_path / "b.ptd")
    )


def test_inline_weights(inline_program: Any, tmp_path: Path) -> None:
    if find_runner() is None:
        pytest.skip("needs the native runner")
    result = run(inline_program, tmp_path / "t.pte", "native", keep="best", epochs=4)
    best = result.history.best_epoch
    run(inline_program, tmp_path / "short.pte", "executorch", epochs=best)
    kept, short = (load_program(tmp_path / name).tensors() for name in ("t.pte", "short.pte"))
    assert all(torch.allclose(kept[name], short[name], rtol=1e-4, atol=1e-6) for name in kept)


def test_a_metric_that_is_not_there(digits_program: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no metric mean_iou; --best-by takes loss, accuracy"):
        run(digits_program, tmp_path / "t.ptd", "torch", keep="best", best_by="mean_iou")
