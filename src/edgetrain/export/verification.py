"""Verification: the written program, run in the real runtime, against eager PyTorch.

Compared are losses, metric sums, predictions, every gradient that is returned, the weights after three steps
of the program's own optimizer (of SGD, where it has none), and then `evaluate` and `predict`, all with
dropout off, on a single sample, on a few, and (one step) on the largest batch; in ExecuTorch's own kernels,
since a program has to be right wherever it is taken, and in edgetrain's where these are installed, since
devices will use them. Of a large model the stock kernels then run the single sample only, and nothing of a
program that calls operators of edgetrain's own.

What is wrong is decided by the rule of `engine/comparison.py`. Where a batch shows a difference, eager
PyTorch is asked how well it knows the result (`runtimes/eager_steps.py`): if the difference is more than that
allows, the program is wrong. If eager's own results move by rounding, as at a kink of the model, the batch
says little and another one is taken. How they move is looked at only where float64 alone doesn't show that
the program is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn

from ..artifacts.manifest import Verification, manifest_path, save_manifest
from ..artifacts.program import Program
from ..engine.comparison import OWN_ERRORS, Truth, largest, relative_error
from ..engine.modes import BatchNormMode
from ..engine.program_optimizer import own_optimizer
from ..errors import CheckFailedError
from ..runner import find_kernels
from ..runtimes.child import Child, Started
from ..runtimes.eager_steps import EagerSteps, Evidence, Moves, kind_of, sensitivity_of
from ..runtimes.kernels import Kernels
from ..runtimes.steps import DeviceSteps, Steps
from ..tasks import Task
from .backbone.fidelity import check_features
from .batches import Batch, MakeBatch
from .pipeline import Quantized, Subject, Verified, Written

STEPS = 3
LEARNING_RATE = 0.01
_TRIES = 4
# How long a step on the largest batch may take [s]. Stock kernels can need minutes for it.
_PATIENCE = 60.0
# The same where other kernels run all batches as well, and how long the whole comparison on a batch may take.
_BRIEFLY = 1.0
# How finely results on the largest batch must be known: a sample that is lost there shows. Among that many,
# one is at a kink in nearly every batch.
_COARSELY = 0.03
_WHOSE: dict[Kernels, str] = {"stock": "ExecuTorch's own", "fast": "edgetrain's"}

Errors = dict[str, float]


def verify(
    written: Written,
    subject: Subject,
    make_batch: MakeBatch,
    quantized: Quantized | None = None,
    started: Started | None = None,
) -> Verified:
    """Verifies a program, and notes in its manifest what was found.

    Args:
        subject: its model has the same weights and the same parameters requiring gradients; unchanged.
        quantized: set where the backbone is int8. What lies behind it is then compared on the features that
            it gives, and these with what they would be in float32.
        started: the process to run the program in.
    Raises:
        CheckFailedError: a mismatch, naming what differs, or a crash of the runtime.
    """
    program = written.program
    task, tolerance = subject.task, subject.settings.tolerance
    if quantized is None:
        found = compare(program, subject.module, task, make_batch, tolerance, started)
    else:
        with Child(DeviceSteps, program, what="running the new backbone") as device:
            whose, most = _kernels(program)[0], program.manifest.contract.max_batch_size
            sqnr = check_features(device, whose, quantized, most)
            found = compare(program, quantized.head, task, _behind(device, whose, make_batch), tolerance)
        found = found.model_copy(update={"features_sqnr": sqnr})
    manifest = program.manifest.model_copy(update={"verification": found})
    save_manifest(manifest_path(program.path), manifest)
    return Verified(replace(program, manifest=manifest), found)


def _behind(device: Child, kernels: Kernels, make_batch: MakeBatch) -> MakeBatch:
    """What makes batches of features of the batches that `make_batch` makes."""

    def make(draw: int, size: int) -> Batch:
        batch = make_batch(draw, size)
        return Batch(device.call("features", kernels, batch.inputs), batch.targets)

    return make


def compare(
    program: Program,
    model: nn.Module,
    task: Task,
    make_batch: MakeBatch,
    tolerance: float,
    started: Started | None = None,
) -> Verification:
    """Runs a program and eager PyTorch side by side.

    Args:
        tolerance: largest relative error accepted.
        started: the process to run the program in; by default a new one.
    Raises:
        CheckFailedError: as `verify`.
    """
    manifest = program.manifest
    contract = manifest.contract
    optimizer = own_optimizer(contract, LEARNING_RATE)
    eager = _Reference(EagerSteps(model, task, manifest.batch_norm, optimizer), make_batch)
    few, most = verification_sizes(manifest.batch_norm, contract.max_batch_size)
    if contract.splits_batches:
        most += 1  # in two parts
    kernels = _kernels(program)
    runs: dict[Kernels, dict[int, Errors]] = {}
    sensitivities: list[float] = []
    with Child(DeviceSteps, program, what="running the new program", started=started) as device:
        for whose in kernels:
            check = _Check(device, whose, eager, tolerance, max(sensitivities, default=None))
            runs[whose] = _runs(
                check,
                few,
                most,
                in_parts=contract.splits_batches,
                brief=whose == "stock" and "fast" in kernels,
            )
            sensitivities += [] if check.sensitivity is None else [check.sensitivity]
    sizes = list(dict.fromkeys([*few, *(size for found in runs.values() for size in found)]))
    every = [run for found in runs.values() for run in found.values()]
    names = dict.fromkeys(name for run in every for name in run)
    errors = {name: largest(run.get(name, 0.0) for run in every) for name in names}
    stock = runs.get("stock")
    gradients = {n.removeprefix("gradient of "): e for n, e in errors.items() if kind_of(n) == "gradient"}

    def worst(kind: str) -> float:
        return largest(error for name, error in errors.items() if kind_of(name) == kind)

    return Verification(
        batch_sizes=sizes,
        kernels=kernels,
        stock_batch_sizes=sorted(stock) if stock is not None and len(stock) < len(sizes) else None,
        loss=worst("loss"),
        gradients=worst("gradient") if gradients else None,
        weights_after_steps=worst("change"),
        predict_after_steps=worst("predict"),
        predictions=worst("predictions"),
        metrics=worst("sum"),
        worst_gradient=max(gradients, key=gradients.__getitem__, default=None),
        tolerance=tolerance,
        sensitivity=max(sensitivities, default=None),
    )


def _kernels(program: Program) -> list[Kernels]:
    """Those that a program is verified in."""
    if program.manifest.own_operators:
        return ["fast"]
    return ["stock", "fast"] if find_kernels() is not None else ["stock"]


def _runs(check: _Check, few: list[int], most: int, *, in_parts: bool, brief: bool) -> dict[int, Errors]:
    """Errors by batch size: of the whole comparison, then of one step with the largest batch.

    Args:
        few: sizes for the whole comparison.
        most: the largest size.
        in_parts: that one is run in parts. It is tried whatever it takes: nothing else shows how they add up.
        brief: other kernels run the program as well. What takes too long in these is left to them, but for
            the smallest batch.
    """
    found: dict[int, Errors] = {}
    for size in sorted(few):
        if brief and size * (STEPS + 1) * check.seconds_per_sample > _BRIEFLY:
            return found
        # A batch of several is needed where batch norm trains, and stock kernels take long for each step.
        found[size] = check.run(size, 1 if brief and min(few) > 1 else STEPS)
    affordable = int((_BRIEFLY if brief else _PATIENCE) / max(check.seconds_per_sample, 1e-6))
    if brief and affordable < most and not in_parts:
        return found
    largest_tried = most if in_parts else min(most, affordable)
    if most not in few and largest_tried > max(few):
        found[largest_tried] = check.run(largest_tried, steps=1, known=max(_COARSELY, check.tolerance))
    return found


def verification_sizes(batch_norm: BatchNormMode, max_batch_size: int) -> tuple[list[int], int]:
    """Batch sizes for the whole comparison, and the largest. Batch norm in training needs more samples, and
    the statistics of a single one are none."""
    if batch_norm == "train":
        return [min(8, max_batch_size)], max_batch_size
    return list(dict.fromkeys([min(3, max_batch_size), 1])), max_batch_size


class _Reference:
    """What eager gives on each batch; made once for all kernels."""

    def __init__(self, eager: EagerSteps, make_batch: MakeBatch) -> None:
        self.eager, self._make_batch = eager, make_batch
        self._batches: dict[tuple[int, int], Batch] = {}
        self._steps: dict[tuple[int, int, int], Steps] = {}
        self._evidence: dict[tuple[int, int, int], Evidence] = {}

    def batch(self, draw: int, size: int) -> Batch:
        """What the results are of."""
        if (draw, size) not in self._batches:
            self._batches[draw, size] = self._make_batch(draw, size)
        return self._batches[draw, size]

    def steps(self, draw: int, size: int, steps: int) -> tuple[Batch, Steps]:
        """A batch, and the results of some steps on it."""
        key, batch = (draw, size, steps), self.batch(draw, size)
        if key not in self._steps:
            self._steps[key] = self.eager.run(batch.inputs, batch.targets, steps)
        return batch, self._steps[key]

    def truths(self, draw: int, size: int, steps: int, moves: Moves) -> dict[str, Truth]:
        """What these results should be; `moves` as in `Evidence.truths`."""
        key = (draw, size, steps)
        if key not in self._evidence:
            batch, found = self.steps(draw, size, steps)
            self._evidence[key] = self.eager.evidence(batch.inputs, batch.targets, steps, found)
        return self._evidence[key].truths(moves)


@dataclass
class _Check:
    """Compares runs of the program with eager ones, batch by batch.

    Attributes:
        kernels: whose the program is run in.
        sensitivity: how far eager itself moves by rounding, where no batch could be compared finer.
        seconds_per_sample: of a step in the runtime, measured last.
    """

    device: Child
    kernels: Kernels
    reference: _Reference
    tolerance: float
    sensitivity: float | None = None
    seconds_per_sample: float = 0.0

    def run(self, size: int, steps: int, known: float | None = None) -> Errors:
        """Errors on the first batch that says something. If none does: on the one that says most, if possible
        of those that eager's own movement explains.

        Args:
            known: how finely eager must know the results, as a relative error; by default the tolerance.
        Raises:
            CheckFailedError: they are too large.
        """
        known = known or self.tolerance
        best: tuple[bool, float, Errors] | None = None
        for draw in range(_TRIES):
            batch, eager = self.reference.batch(draw, size), self.reference.eager
            # The runtime and eager compute at the same time.
            self.device.begin("run", self.kernels, batch.inputs, batch.targets, steps, eager.optimizer)
            _, expected = self.reference.steps(draw, size, steps)
            found: Steps = self.device.answer()
            self.seconds_per_sample = found.seconds / size
            missed = _missed_predictions(eager.task, found, expected)
            errors = missed | {
                name: relative_error(tensor, expected.quantities[name])
                for name, tensor in found.quantities.items()
            }
            if largest(errors.values()) <= self.tolerance:
                return errors
            for moves in Moves:
                truths = self.reference.truths(draw, size, steps, moves)
                errors = missed | {
                    name: truths[name].judged(tensor, self.tolerance)
                    for name, tensor in found.quantities.items()
                }
                right = largest(errors.values()) <= self.tolerance
                if right and (_tells(truths, known) or as_float64(found, truths, self.tolerance)):
                    return errors
            sensitivity = sensitivity_of(truths)
            if _tells(truths, known):
                self._require(errors)
                return errors
            if best is None or (not right, sensitivity) < best[:2]:
                best = not right, sensitivity, errors
            if right and (draw > 0 or self.sensitivity is not None):  # it isn't this batch alone
                break
        assert best is not None
        _, sensitivity, errors = best
        self._require(errors)
        self.sensitivity = max(sensitivity, self.sensitivity or 0.0)
        return errors

    def _require(self, errors: Errors) -> None:
        _require(errors, self.tolerance, self.kernels)


def _tells(truths: Mapping[str, Truth], known: float) -> bool:
    """Whether eager knows these results finely enough to say what is wrong."""
    return OWN_ERRORS * sensitivity_of(truths) < known


def as_float64(found: Steps, truths: Mapping[str, Truth], tolerance: float) -> bool:
    """Whether the program gives what float64 gives, so that it is eager that went another way at a kink. How
    weights change isn't asked: a change is rounded as its weight is."""
    return all(
        truths[name].error(tensor) <= tolerance
        for name, tensor in found.quantities.items()
        if kind_of(name) != "change"
    )


def _missed_predictions(task: Task, found: Steps, reference: Steps) -> Errors:
    return {
        f"predictions of {method}": task.prediction_error(predictions, reference.outputs[method])
        for method, predictions in found.predictions.items()
    }


def _require(errors: Errors, tolerance: float, kernels: Kernels) -> None:
    """Raises CheckFailedError where an error is above the tolerance, NaN included."""
    wrong = {name: error for name, error in errors.items() if not error <= tolerance}
    if not wrong:
        return
    worst = sorted(wrong, key=lambda name: (kind_of(name) != "gradient", -wrong[name]))
    named = ", ".join(f"{name} ({wrong[name]:.1e})" for name in worst[:6])
    more = f" and {len(worst) - 6} more" if len(worst) > 6 else ""
    raise CheckFailedError(
        f"the exported program, in {_WHOSE[kernels]} kernels, differs from PyTorch by more than "
        f"{tolerance:g} (relative errors): {named}{more}. Nothing was written; please report the model"
    )
