"""The steps that programs are verified by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.program import load_program
from edgetrain.config.optimizer import OptimizerConfig
from edgetrain.runner import KERNELS_OVERRIDE, find_kernels
from edgetrain.runtimes.child import Child
from edgetrain.runtimes.steps import DeviceSteps

BATCH = ({"inputs": torch.randn(2, 1, 8, 8)}, {"targets": torch.tensor([1, 2])})


def test_stock_kernels_need_no_library(
    digits_program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program goes to devices without edgetrain's kernels, too: a broken library of them is not missed."""
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    monkeypatch.setenv(KERNELS_OVERRIDE, str(broken))
    program = load_program(digits_program.program)
    with Child(DeviceSteps, program, what="running the program") as device:
        found = device.call("run", "stock", *BATCH, 1, OptimizerConfig())
    assert found.quantities["loss of step 1"].isfinite()


def test_what_is_noted(digits_program: Any) -> None:
    program = load_program(digits_program.program)
    found = DeviceSteps(program).run("fast" if find_kernels() else "stock", *BATCH, 2, OptimizerConfig())
    names = program.manifest.contract.trainable
    assert {f"gradient of {name}" for name in names} <= found.quantities.keys()
    assert {f"change of {name}" for name in names} <= found.quantities.keys()
    assert {
        "loss of step 2",
        "sum of correct in train",
        "sum of count in evaluate",
    } <= found.quantities.keys()
    assert found.quantities["predict of output"].shape == (2, 10)
    assert {method: list(named) for method, named in found.predictions.items()} == {
        "train": ["class"],
        "evaluate": ["class"],
    }
    assert found.seconds > 0
