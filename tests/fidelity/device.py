"""Runs written programs, in a process that may crash; it imports no compiler."""

from __future__ import annotations

from pathlib import Path

from edgetrain.artifacts.program import load_program
from edgetrain.config.optimizer import OptimizerConfig
from edgetrain.runtimes.base import Tensors
from edgetrain.runtimes.kernels import Kernels
from edgetrain.runtimes.steps import DeviceSteps, Steps


class Device:
    """One process for many programs; it keeps the last one."""

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels
        self._path: Path | None = None
        self._steps: DeviceSteps | None = None

    def run(
        self, path: Path, inputs: Tensors, targets: Tensors, steps: int, optimizer: OptimizerConfig
    ) -> Steps:
        """What `DeviceSteps.run` does, with the program at a path, which no other has had before."""
        if self._steps is None or path != self._path:
            self._path, self._steps = path, DeviceSteps(load_program(path))
        return self._steps.run(self._kernels, inputs, targets, steps, optimizer)
