"""A whole check."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgetrain.checking import check
from edgetrain.checking import stage as checking_stage
from edgetrain.config.stages import CheckCommand
from edgetrain.errors import CheckFailedError
from edgetrain.runner import find_kernels, find_runner


def command(**settings: object) -> CheckCommand:
    settings = {"input_shape": ["2"], "num_classes": 2, "batch_size": 3, "timed_steps": 3, **settings}
    return CheckCommand.model_validate({"check": settings, "model": {"name": "xor_mlp"}})


@pytest.mark.slow
@pytest.mark.skipif(find_runner() is None or find_kernels() is None, reason="needs the native parts")
def test_a_model_that_trains_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    report = check(command())
    assert report.right, report
    assert report.reason is None
    assert (report.model, report.task, report.loss) == ("xor_mlp", "classification", "cross_entropy")
    assert list(report.export_seconds) == ["prepared", "captured", "joint", "edge", "lowered", "written"]
    assert "aten::linear.out" in report.operators
    assert report.stock_operators == []
    assert [(run.runtime, run.kernels, run.batch_size, run.steps) for run in report.runs] == [
        ("executorch", "stock", 1, 1),
        *(
            (runtime, "fast", size, steps)
            for size, steps in ((1, 1), (2, 1), (3, 5))
            for runtime in ("executorch", "native")
        ),
    ]
    for run in report.runs:
        assert len(run.groups["gradients"]) == 4
        assert "loss of step 1" in run.groups["loss"]
        # The runner tells no sums.
        assert ("sum of loss_sum in train" in run.groups["loss"]) == (run.runtime == "executorch")
        assert {"loss of evaluate", "predict of output"} <= set(run.groups["predict"])
        assert f"change of {next(iter(run.groups['gradients']))}" in run.groups["steps"]
    assert set(report.step_ms) == {"torch", "executorch", "native"}
    assert report.ratio == report.step_ms["native"] / report.step_ms["torch"]
    assert report.arena_bytes["train"] > report.arena_bytes["predict"] > 0
    assert not list(tmp_path.iterdir()), "nothing is written"


def test_a_model_that_cannot_be_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise CheckFailedError("no kernel for it")

    monkeypatch.setattr(checking_stage, "write_unverified", refuse)
    report = check(command())
    assert (report.exports, report.right, report.reason) == (False, False, "no kernel for it")
    assert report.ratio is None
