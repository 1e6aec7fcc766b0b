"""The steps that programs are verified by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.program import load_program
from edgetrain.runner import KERNELS_OVERRIDE
from edgetrain.runtimes.child import Child
from edgetrain.runtimes.steps import DeviceSteps


def test_verification_is_by_stock_kernels(
    digits_program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program goes to devices without edgetrain's kernels, too: a broken library of them is not missed."""
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    monkeypatch.setenv(KERNELS_OVERRIDE, str(broken))
    program = load_program(digits_program.program)
    with Child(DeviceSteps, program, 0.01, what="running the program") as device:
        outcome = device.call("run", torch.randn(2, 1, 8, 8), torch.tensor([1, 2]), 1)
    assert outcome.quantities["loss of step 1"].isfinite()
