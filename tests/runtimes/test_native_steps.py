"""Natively, the same steps are taken as in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.program import load_program
from edgetrain.config.optimizer import OptimizerConfig
from edgetrain.engine.comparison import relative_error
from edgetrain.runner import find_runner
from edgetrain.runtimes.native_steps import NativeSteps
from edgetrain.runtimes.steps import DeviceSteps

pytestmark = pytest.mark.skipif(find_runner() is None, reason="needs the native runner")


@pytest.mark.parametrize("which", ["digits", "noisy"])
def test_quantities_are_those_of_python(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """With dropout in the program, too, and statistics that move."""
    made: Any = request.getfixturevalue(f"{which}_program")
    program = load_program(made.program)
    generator = torch.Generator().manual_seed(0)
    (name,) = program.manifest.inputs
    (target,) = [argument.name for argument in program.manifest.contract.methods["train"].taken("target")]
    batch = (
        {name: torch.randn(5, 1, 8, 8, generator=generator)},
        {target: torch.randint(0, 10, (5,), generator=generator)},
    )
    optimizer = OptimizerConfig(lr=0.01)
    expected = DeviceSteps(program).run("fast", *batch, 3, optimizer).quantities
    found = NativeSteps(program).run(*batch, 3, optimizer).quantities
    assert {n for n in expected if not n.startswith("sum of")} == set(found)
    for quantity, tensor in found.items():
        assert tensor.shape == expected[quantity].shape, quantity
        assert relative_error(tensor, expected[quantity]) <= 1e-4, quantity
