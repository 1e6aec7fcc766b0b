"""Small models, exported and compared with PyTorch one after the other: no process is started for each."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from device import Device
from torch import Tensor, nn

from edgetrain.artifacts.checkpoint import Checkpoint
from edgetrain.artifacts.specs import InputSpec, TaskSpec, TensorSpec
from edgetrain.checking.correctness import Judge, cases_of
from edgetrain.checking.report import RunReport
from edgetrain.checking.subject import export_command
from edgetrain.config.model import ModelConfig
from edgetrain.config.stages import CheckCommand
from edgetrain.engine.seeding import seed_everything
from edgetrain.errors import CheckFailedError, EdgetrainError
from edgetrain.export.batches import batch_maker
from edgetrain.export.pipeline import Subject
from edgetrain.export.stage import write_unverified
from edgetrain.runner import find_kernels
from edgetrain.runtimes.child import Child
from edgetrain.runtimes.eager_steps import EagerSteps
from edgetrain.runtimes.kernels import Kernels
from edgetrain.runtimes.steps import Steps
from edgetrain.tasks import Task, make_task
from edgetrain.tasks.custom import Custom

# Of operators that only edgetrain's kernels can run.
OWN_NAMESPACE = "edgetrain::"
NUMBERS = TaskSpec(name="regression", loss="mse")
LARGEST = 4
STEPS = 3
Tensors = Mapping[str, Tensor]


class RefusedError(Exception):
    """Export refuses the model; the text is its reason."""


class LossTask(Custom):
    """A loss that a test brings.

    Args:
        function: (outputs, targets) → the mean over the batch, scalar.
        make_targets: (outputs, generator) → random targets by name.
    """

    def __init__(
        self,
        function: Callable[[Tensors, Tensors], Tensor],
        make_targets: Callable[[Tensors, torch.Generator], dict[str, Tensor]],
    ) -> None:
        super().__init__(TaskSpec(name="custom", loss=""))
        self._function, self._make_targets = function, make_targets

    def loss(self, outputs: Tensors, targets: Tensors) -> Tensor:
        return self._function(outputs, targets)

    def random_targets(
        self, outputs: Tensors, specs: Mapping[str, TensorSpec] | None, generator: torch.Generator
    ) -> dict[str, Tensor]:
        return self._make_targets(outputs, generator)


def subject_for(
    make: Callable[[], nn.Module],
    inputs: Mapping[str, InputSpec],
    task: Task | None = None,
    **settings: Any,
) -> Subject:
    """A model as `edgetrain check` would export it, its weights drawn from a fixed seed.

    Args:
        settings: of its export.
    """
    seed_everything(0)
    task = task or make_task(NUMBERS)
    source = Checkpoint(ModelConfig(name="test"), {}, dict(inputs), task.spec)
    config = export_command(CheckCommand.model_validate({"check": {"batch_size": LARGEST}}))
    # The update in the graph has tests of its own; without it there is a graph less.
    export = config.export.model_copy(update={"update_in_graph": "off", **settings})
    return Subject(make(), task, source, config.model_copy(update={"export": export}), origin="the model")


@dataclass
class Lab:
    """Keeps a process for each kind of kernels.

    Attributes:
        folder: for programs.
        kernels: those that are installed.
    """

    folder: Path
    kernels: Sequence[Kernels]
    _devices: dict[Kernels, Child] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def faults(self, subject: Subject) -> list[str]:
        """Exports a model and runs it on batches of 1, some, and the most: what is wrong, one line each.

        Raises:
            RefusedError: it can't be exported.
        """
        path = self.folder / f"{next(self._numbers)}.pte"
        make_batch = batch_maker(subject)
        try:
            made = write_unverified(subject, path.with_suffix(""), make_batch)
        except CheckFailedError as error:
            raise RefusedError(str(error)) from error
        exported = made.subject
        mode = exported.settings.batch_norm
        eager = EagerSteps(exported.module, exported.task, mode, exported.config.optimizer)
        judge = Judge(eager, make_batch, exported.settings.tolerance)
        called = {name for names in made.lowered.operators.values() for name in names}
        own = any(name.startswith(OWN_NAMESPACE) for name in called)
        places = [
            ("executorch", whose, partial(self._run, whose, path))
            for whose in self.kernels
            if whose == "fast" or not own
        ]
        found: list[str] = []
        try:
            for case in cases_of(LARGEST, mode, STEPS):
                for report in judge.compare(case, places):
                    found += _faults_of(report)
        except EdgetrainError as error:
            found.append(f"fails at run time: {error}")
        return found

    def _run(self, whose: Kernels, path: Path, *given: Any) -> Steps:
        if whose not in self._devices:
            self._devices[whose] = Child(Device, whose, what=f"running the program in {whose} kernels")
        try:
            steps: Steps = self._devices[whose].call("run", path, *given)
        except Exception:
            # It may be dead; the next program gets another one.
            self._devices.pop(whose).close()
            raise
        return steps

    def close(self) -> None:
        """Ends the processes."""
        while self._devices:
            self._devices.popitem()[1].close()


@contextlib.contextmanager
def open_lab() -> Iterator[Lab]:
    """A lab with a folder of its own."""
    kernels: list[Kernels] = ["stock"] if find_kernels() is None else ["stock", "fast"]
    with tempfile.TemporaryDirectory(prefix="edgetrain-") as folder:
        lab = Lab(Path(folder), kernels)
        try:
            yield lab
        finally:
            lab.close()


def _faults_of(report: RunReport) -> list[str]:
    return [
        f"{report.kernels} kernels, batch of {report.batch_size}, {report.steps} steps: {group}, {name}: "
        f"error {compared.error:.1e}, allowed {compared.allowed:.1e}"
        for group, quantities in report.groups.items()
        for name, compared in quantities.items()
        if not compared.right
    ]
