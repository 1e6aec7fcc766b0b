"""Verification: the written program, run in the real runtime, against eager PyTorch.

Compared are losses, every gradient, the weights after three SGD steps, and then `evaluate` and `predict`, all
with dropout off, on a few samples, on a single one, and (one step) on the largest batch.

Two float32 computations of one quantity never agree to the last digit, and at a kink of the model (an input
of a ReLU near 0, a tie in a max-pool) rounding decides which way a gradient goes. So where a batch shows a
difference, eager itself is run again in float64 and with weights moved by about one rounding error. If its
own results stay where they were, the program is wrong. If they move as far, the batch says nothing and
another one is taken.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..artifacts.manifest import Verification
from ..artifacts.program import Program
from ..artifacts.specs import Task
from ..engine.comparison import distance, largest, norm, prediction_error, relative_error
from ..engine.losses import make_loss
from ..engine.modes import BatchNormMode, set_training_mode
from ..errors import CheckFailedError
from ..runtimes.child import Child
from ..runtimes.steps import DeviceSteps, Outcome
from ..runtimes.torch_eager import no_dropout

STEPS = 3
_ROUNDING = 1e-7
_TRIES = 6
# How long a step on the largest batch may take [s]; stock kernels can need minutes for one.
_PATIENCE = 60.0

MakeBatch = Callable[[int, int], tuple[Tensor, Tensor]]
Errors = dict[str, float]


def verify(
    program: Program,
    model: nn.Module,
    make_batch: MakeBatch,
    *,
    learning_rate: float,
    tolerance: float,
) -> Verification:
    """Verifies a program.

    Args:
        model: the eager model with the same weights and the same parameters requiring gradients; unchanged.
        make_batch: (draw, size) → (inputs, targets).
        learning_rate: of the SGD steps (momentum 0.9).
        tolerance: largest relative error accepted.
    Raises:
        CheckFailedError: a mismatch, naming what differs, or a crash of the runtime.
    """
    manifest = program.manifest
    eager = _Eager(model, manifest.task, manifest.batch_norm, learning_rate)
    few, most = verification_sizes(manifest.batch_norm, manifest.max_batch_size)
    with Child(DeviceSteps, program, learning_rate, what="running the new program") as device:
        check = _Check(device, eager, make_batch, tolerance)
        runs = [check.run(size, STEPS) for size in few]
        affordable = int(_PATIENCE / max(check.seconds_per_sample, 1e-6))
        if most not in few and affordable > max(few):
            few.append(min(most, affordable))
            runs.append(check.run(few[-1], steps=1))
    errors = {name: largest(run.get(name, 0.0) for run in runs) for name in runs[0]}
    gradients = {n.removeprefix("gradient of "): e for n, e in errors.items() if n.startswith("gradient of ")}
    return Verification(
        batch_sizes=few,
        loss=largest(e for n, e in errors.items() if n.startswith("loss of ")),
        gradients=largest(gradients.values()),
        weights_after_steps=largest(e for n, e in errors.items() if n.startswith("change of ")),
        predict_after_steps=errors["predict"],
        predictions=largest(e for n, e in errors.items() if n.startswith("predictions of ")),
        worst_gradient=max(gradients, key=gradients.__getitem__),
        tolerance=tolerance,
        sensitivity=check.sensitivity,
    )


def verification_sizes(batch_norm: BatchNormMode, max_batch_size: int) -> tuple[list[int], int]:
    """Batch sizes for the whole comparison, and the largest. Batch norm in training needs more samples, and
    the statistics of a single one are none."""
    if batch_norm == "train":
        return [min(8, max_batch_size)], max_batch_size
    return list(dict.fromkeys([min(3, max_batch_size), 1])), max_batch_size


@dataclass
class _Check:
    """Compares runs of the program with eager ones, batch by batch.

    Attributes:
        sensitivity: how far eager itself moves by rounding, where no batch could be compared finer.
        seconds_per_sample: of a step in the runtime, measured last.
    """

    device: Child
    eager: _Eager
    make_batch: MakeBatch
    tolerance: float
    sensitivity: float | None = None
    seconds_per_sample: float = 0.0

    def run(self, size: int, steps: int) -> Errors:
        """Errors on the first batch that says something. If none does: on the one that says most, measured by
        eager's own noise.

        Raises:
            CheckFailedError: they are too large.
        """
        best: tuple[float, Errors] | None = None
        for draw in range(_TRIES):
            inputs, targets = self.make_batch(draw, size)
            reference = self.eager.run(inputs, targets, steps)
            found: Outcome = self.device.call("run", inputs, targets, steps)
            self.seconds_per_sample = found.seconds / size
            errors = _errors(self.eager.task, found, reference)
            if largest(errors.values()) <= self.tolerance:
                return errors
            noise = self.eager.noise(inputs, targets, steps, reference)
            errors = _errors(self.eager.task, found, reference, noise, self.tolerance)
            sensitivity = _sensitivity(reference, noise)
            if sensitivity < self.tolerance / 10:
                _require(errors, self.tolerance)
                return errors
            if best is None or sensitivity < best[0]:
                best = sensitivity, errors
        assert best is not None
        _require(best[1], self.tolerance)
        self.sensitivity = max(best[0], self.sensitivity or 0.0)
        return best[1]


@dataclass(frozen=True)
class _Eager:
    """The reference."""

    model: nn.Module
    task: Task
    batch_norm: BatchNormMode
    learning_rate: float

    def run(self, inputs: Tensor, targets: Tensor, steps: int, variant: nn.Module | None = None) -> Outcome:
        """What `DeviceSteps.run` does, in eager PyTorch."""
        model = variant or copy.deepcopy(self.model)
        parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        mutable = {**parameters, **dict(model.named_buffers())}
        before = {name: tensor.detach().clone() for name, tensor in mutable.items()}
        optimizer = torch.optim.SGD(parameters.values(), lr=self.learning_rate, momentum=0.9)
        criterion = make_loss(self.task)
        outcome = Outcome()
        for step in range(1, steps + 1):
            set_training_mode(model, self.batch_norm)
            optimizer.zero_grad()
            with no_dropout(model):
                logits = model(inputs)
            loss = criterion(logits, targets)
            loss.backward()
            outcome.quantities[f"loss of step {step}"] = loss.detach()
            if step == 1:
                outcome.logits["train"] = logits.detach()
                for name, parameter in parameters.items():
                    if parameter.grad is not None:
                        outcome.quantities[f"gradient of {name}"] = parameter.grad.clone()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for name, tensor in mutable.items():
                outcome.quantities[f"change of {name}"] = tensor - before[name]
            logits = model(inputs)
            outcome.quantities["loss of evaluate"] = criterion(logits, targets)
            outcome.quantities["predict"] = outcome.logits["evaluate"] = logits
        return outcome

    def noise(self, inputs: Tensor, targets: Tensor, steps: int, reference: Outcome) -> Errors:
        """How far each quantity moves, in the 2-norm, in float64 and with weights moved by about one rounding
        error."""
        exact = self.run(_double(inputs), _double(targets), steps, copy.deepcopy(self.model).double())
        # Several times: whether a kink shows depends on the direction.
        moved = [self.run(inputs, targets, steps, _jittered(self.model, seed)) for seed in range(4)]
        return {
            name: largest(distance(other.quantities[name], expected) for other in (exact, *moved))
            for name, expected in reference.quantities.items()
        }


def _errors(
    task: Task,
    found: Outcome,
    reference: Outcome,
    noise: Errors | None = None,
    tolerance: float = 1.0,
) -> Errors:
    """Relative errors by quantity; with `noise`, none is measured finer than ten times eager's own."""
    errors = {}
    for name, tensor in found.quantities.items():
        expected = reference.quantities[name]
        errors[name] = relative_error(tensor, expected)
        if noise is not None:
            scale = max(norm(expected), 10 * noise[name] / tolerance, 1e-30)
            errors[name] = distance(tensor, expected) / scale
    for method, predictions in found.predictions.items():
        errors[f"predictions of {method}"] = prediction_error(task, predictions, reference.logits[method])
    return errors


def _sensitivity(reference: Outcome, noise: Errors) -> float:
    """How far eager's results move by rounding, relative to themselves.

    A tensor whose noise is a millionth of all tensors of its kind is left out: it may be nothing but noise
    (the gradient of a bias before batch norm is), which is no reason to mistrust the others.
    """
    totals: dict[str, float] = {}
    for name, tensor in reference.quantities.items():
        totals[_kind(name)] = (totals.get(_kind(name), 0.0) ** 2 + norm(tensor) ** 2) ** 0.5
    return largest(
        moved / max(norm(reference.quantities[name]), 1e-30)
        for name, moved in noise.items()
        if not moved <= 1e-6 * totals[_kind(name)]
    )


def _kind(name: str) -> str:
    return name.split(" of ")[0]


def _require(errors: Errors, tolerance: float) -> None:
    """Raises CheckFailedError where an error is above the tolerance, NaN included."""
    wrong = {name: error for name, error in errors.items() if not error <= tolerance}
    if not wrong:
        return
    worst = sorted(wrong, key=lambda name: (_kind(name) != "gradient", -wrong[name]))
    named = ", ".join(f"{name} ({wrong[name]:.1e})" for name in worst[:6])
    more = f" and {len(worst) - 6} more" if len(worst) > 6 else ""
    raise CheckFailedError(
        f"the exported program differs from PyTorch by more than {tolerance:g} (relative errors): "
        f"{named}{more}. Nothing was written; please report the model"
    )


def _jittered(model: nn.Module, seed: int) -> nn.Module:
    variant = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in variant.parameters():
            parameter.mul_(1 + _ROUNDING * torch.randn(parameter.shape, generator=generator))
    return variant


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor
