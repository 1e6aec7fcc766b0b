"""A whole job through the command lines: train, export, fine-tune in every runtime there is, compare."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgetrain.cli.app import main
from edgetrain.runner import find_runner

RUNTIMES = ["torch", "executorch", *(["native"] if find_runner() else [])]


@dataclass
class Finished:
    """What the stages said, as `--json` has it.

    Attributes:
        tuned: the result of `finetune` by runtime.
    """

    trained: dict[str, Any]
    exported: dict[str, Any]
    tuned: dict[str, dict[str, Any]]


Job = Callable[..., Finished]


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Job:
    """Runs a job in the folder of the test: `job(data flags, training flags, confirmations)`.

    Gradients and metric sums of the program must be eager's, and the runtimes' figures must agree, from the
    first epoch to the last. What code the checkpoint names is confirmed to the stages that build it.
    """
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> dict[str, Any]:
        capsys.readouterr()
        code = main([*arguments, "--json"])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        logged = [line.partition(":")[0] for line in captured.err.splitlines() if line.startswith("epoch")]
        assert logged == ([] if arguments[0] == "export" else ["epoch 1/2", "epoch 2/2"])
        found: dict[str, Any] = json.loads(captured.out)
        return found

    def run(data: list[str], training: list[str], confirmed: list[str] | None = None) -> Finished:
        names = confirmed or []
        trained = call("train", *data, *training, *names, "--epochs", "2", "--batch-size", "8", "-o", "m.pth")
        exported = call("export", "m.pth", "--max-batch-size", "8", *names)
        tune = ["finetune", "m.pte", "--epochs", "2", "--lr", "0.02", *names]
        tuned = {r: call(*tune, "--runtime", r, "-o", f"{r}.ptd") for r in RUNTIMES}
        finished = Finished(trained, exported, tuned)
        _check_verified(exported["verification"])
        _check_agreement(finished)
        return finished

    return run


def _check_verified(verification: dict[str, Any]) -> None:
    for name in ("loss", "gradients", "weights_after_steps", "predict_after_steps", "predictions", "metrics"):
        assert verification[name] < 1e-4, name


def _check_agreement(finished: Finished) -> None:
    """All runtimes start where training ended and take the same steps."""
    epochs = {runtime: result["history"]["epochs"] for runtime, result in finished.tuned.items()}
    expected = {key: value for key, value in finished.trained.items() if key.startswith("val_")}
    assert {key: epochs["torch"][0][key] for key in expected} == pytest.approx(expected, rel=1e-4)
    for runtime in RUNTIMES[1:]:
        for left, right in zip(epochs["torch"], epochs[runtime], strict=True):
            assert _figures(right) == pytest.approx(_figures(left), rel=2e-3, abs=1e-4), runtime
    assert epochs["torch"][-1]["train_loss"] < epochs["torch"][1]["train_loss"]


def _figures(epoch: dict[str, Any]) -> dict[str, float]:
    return {
        key: value
        for key, value in epoch.items()
        if key.startswith(("train_", "val_")) and "time" not in key and value is not None
    }
