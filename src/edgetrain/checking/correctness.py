"""Whether a program computes what PyTorch does, in every runtime, with batches of several sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch

from ..artifacts.program import Program
from ..config.stages import CheckCommand
from ..engine.comparison import OWN_ERRORS, Truth, distance
from ..errors import CheckFailedError
from ..export.batches import MakeBatch
from ..export.pipeline import Subject
from ..runner import find_kernels, find_runner
from ..runtimes.child import Child, Started, TimeLimitError
from ..runtimes.eager_steps import EagerSteps, Moves, kind_of, sensitivity_of
from ..runtimes.native_steps import NativeSteps
from ..runtimes.steps import DeviceSteps, Steps, prepare
from .report import Compared, Group, RunReport

# Batches that are tried where one shows a difference and says little.
_DRAWS = 3
# How long stock kernels may take for a single sample [s].
_PATIENCE = 120.0


@dataclass
class Findings:
    """Of a program.

    Attributes:
        notes: what was left out, and why.
    """

    runs: list[RunReport] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """Some steps on batches of one size."""

    size: int
    steps: int


def compare_runtimes(
    program: Program, subject: Subject, config: CheckCommand, make_batch: MakeBatch
) -> Findings:
    """Runs a program in all runtimes that are installed, beside eager PyTorch.

    Args:
        subject: as it was exported.
    Raises:
        CheckFailedError: a runtime crashed.
    """
    settings, findings = config.check, Findings()
    eager = EagerSteps(subject.module, subject.task, settings.batch_norm, subject.config.optimizer)
    judge = Judge(eager, make_batch, settings.tolerance)
    cases = list(cases_of(settings.batch_size, settings.batch_norm, settings.steps))
    own = program.manifest.own_operators
    if settings.stock and own:
        findings.notes.append(f"not run in ExecuTorch's own kernels, which have none of {', '.join(own)}")
    elif settings.stock:
        _compare_stock(program, judge, cases[0].size, findings)
    with Child(DeviceSteps, program, what="running the program", started=Started(prepare)) as device:
        places: list[tuple[Literal["executorch", "native"], Callable[..., Steps]]] = []
        if find_kernels() is not None:
            places.append(("executorch", lambda *given: device.call("run", "fast", *given)))
        else:
            findings.notes.append("edgetrain's kernels are not installed: see edgetrain doctor")
        if find_runner() is not None:
            places.append(("native", NativeSteps(program).run))
        else:
            findings.notes.append("the native runner is not installed: see edgetrain doctor")
        for case in cases:
            findings.runs += judge.compare(case, [(name, "fast", run) for name, run in places])
    if judge.float32_alone:
        findings.notes.append("the model doesn't run in float64: compared with PyTorch in float32 alone")
    return findings


def cases_of(most: int, batch_norm: str, steps: int) -> Iterator[Case]:
    """One sample, some, and the most; batch norm that trains has no statistics of a single one."""
    least = min(2, most) if batch_norm == "train" else 1
    for size in dict.fromkeys((least, max(least, most - 1), most)):
        yield Case(size, steps if size == most else 1)


def _compare_stock(program: Program, judge: Judge, size: int, findings: Findings) -> None:
    """In a process of its own, which is killed where it takes too long."""
    try:
        with Child(
            DeviceSteps, program, what="running the program in stock kernels", started=Started(prepare)
        ) as device:

            def run(*given: Any) -> Steps:
                return cast(Steps, device.call("run", "stock", *given, timeout=_PATIENCE))

            findings.runs += judge.compare(Case(size, 1), [("executorch", "stock", run)])
    except TimeLimitError:
        findings.notes.append(
            f"ExecuTorch's own kernels take more than {_PATIENCE:.0f} s for a single sample; not compared"
        )


@dataclass
class Judge:
    """Compares with eager PyTorch by the rule of `engine/comparison.py`.

    Attributes:
        float32_alone: the model doesn't run in float64.
    """

    eager: EagerSteps
    make_batch: MakeBatch
    tolerance: float
    float32_alone: bool = False

    def compare(self, case: Case, places: list[tuple[Any, Any, Callable[..., Steps]]]) -> list[RunReport]:
        """Reports by place, on the first batch that says enough, or else the one that says most."""
        best: tuple[float, list[RunReport]] | None = None
        for draw in range(_DRAWS):
            batch = self.make_batch(draw, case.size)
            reference = self.eager.run(batch.inputs, batch.targets, case.steps)
            _require_finite(reference)
            found = [
                (runtime, kernels, run(batch.inputs, batch.targets, case.steps, self.eager.optimizer))
                for runtime, kernels, run in places
            ]
            evidence = self.eager.evidence(batch.inputs, batch.targets, case.steps, reference)
            for moves in (Moves.ROUNDING, Moves.KINKS):
                truths = evidence.truths(moves)
                self.float32_alone = all(
                    torch.equal(truth.exact, reference.quantities[name].double())
                    for name, truth in truths.items()
                )
                reports = [
                    RunReport(
                        runtime=runtime,
                        kernels=kernels,
                        batch_size=case.size,
                        steps=case.steps,
                        groups=self._grouped(steps, reference, truths),
                    )
                    for runtime, kernels, steps in found
                ]
                if all(report.right for report in reports):
                    return reports
            sensitivity = sensitivity_of(truths)
            if OWN_ERRORS * sensitivity < self.tolerance:
                return reports
            if best is None or sensitivity < best[0]:
                best = sensitivity, reports
        assert best is not None
        return best[1]

    def _grouped(
        self, found: Steps, reference: Steps, truths: Mapping[str, Truth]
    ) -> dict[Group, dict[str, Compared]]:
        groups: dict[Group, dict[str, Compared]] = {"loss": {}, "gradients": {}, "steps": {}, "predict": {}}
        for name, tensor in found.quantities.items():
            if name not in truths:
                raise CheckFailedError(f"the program has a {name}, and PyTorch has none")
            group, truth = group_of(name), truths[name]
            tolerance = 10 * self.tolerance if group == "steps" else self.tolerance
            error, allowed = truth.error(tensor), truth.allowed(tolerance)
            groups[group][name.removeprefix("gradient of ")] = Compared(
                error=error,
                from_float32=distance(tensor, reference.quantities[name]) / truth.scale,
                own=truth.own_error,
                allowed=allowed,
                right=error <= allowed,
            )
        return groups


def _require_finite(reference: Steps) -> None:
    """Raises CheckFailedError where PyTorch itself has no numbers to compare with."""
    for name, value in reference.quantities.items():
        if kind_of(name) == "loss" and not math.isfinite(value.item()):
            raise CheckFailedError(
                f"the {name} is not finite in PyTorch either, so there is nothing to compare; take trained "
                "weights, or a smaller --learning-rate"
            )


def group_of(quantity: str) -> Group:
    """The part of a run that a quantity belongs to."""
    kind = kind_of(quantity)
    if kind == "gradient":
        return "gradients"
    if kind == "predict" or quantity.endswith(("of evaluate", "in evaluate")):
        return "predict"
    if kind == "change" or (kind == "loss" and quantity != "loss of step 1"):
        return "steps"
    return "loss"
