"""Verification: the written program, run in the real runtime, against eager PyTorch.

Compared are the loss, every gradient, the weights after three SGD steps and `predict` with them, all with
dropout off, on a batch of several samples and on a single one.

Two float32 computations of one quantity never agree to the last digit, and at a kink of the model (an input
of a ReLU near 0, a tie in a max-pool) rounding decides which way a gradient goes. So where a batch shows a
difference, eager itself is run again in float64 and with weights moved by about one rounding error. If its
own results stay where they were, the program is wrong. If they move as far, the batch says nothing and
another one is taken.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..artifacts.manifest import Verification
from ..artifacts.program import Program
from ..artifacts.specs import Task
from ..engine.losses import make_loss
from ..engine.modes import BatchNormMode, set_training_mode
from ..errors import CheckFailedError
from ..runtimes.child import Child
from ..runtimes.steps import STEPS, DeviceSteps, Outcome
from ..runtimes.torch_eager import no_dropout

_ROUNDING = 1e-7
_TRIES = 6


@dataclass
class _Errors:
    """Relative errors, the largest of each kind, and by tensor."""

    loss: float = 0.0
    predict: float = 0.0
    gradients: dict[str, float] = field(default_factory=dict)
    changes: dict[str, float] = field(default_factory=dict)

    @property
    def worst(self) -> float:
        return max([self.loss, self.predict, *self.gradients.values(), *self.changes.values()])


def verify(
    program: Program,
    model: nn.Module,
    make_batch: Callable[[int], tuple[Tensor, Tensor]],
    *,
    learning_rate: float,
    tolerance: float,
) -> Verification:
    """Verifies a program.

    Args:
        model: the eager model with the same weights and the same parameters requiring gradients; unchanged.
        make_batch: draw → (inputs, targets).
        learning_rate: of the SGD steps (momentum 0.9).
        tolerance: largest relative error accepted.
    Raises:
        CheckFailedError: a mismatch, naming the tensors, or a crash of the runtime.
    """
    manifest = program.manifest
    eager = _Eager(model, manifest.task, manifest.batch_norm, learning_rate)
    # The statistics of a single sample are no statistics.
    takes = (None, 1) if manifest.batch_norm == "frozen" else (None,)
    with Child(DeviceSteps, program, learning_rate, what="running the new program") as device:
        found = [_verify_one(device, eager, make_batch, take, tolerance) for take in takes]
    gradients = {name: max(errors.gradients[name] for errors, _ in found) for name in found[0][0].gradients}
    worst = max(gradients, key=gradients.__getitem__)
    sensitivities = [sensitivity for _, sensitivity in found if sensitivity is not None]
    return Verification(
        batches=len(found),
        loss=max(errors.loss for errors, _ in found),
        gradients=gradients[worst],
        weights_after_steps=max(max(errors.changes.values()) for errors, _ in found),
        predict_after_steps=max(errors.predict for errors, _ in found),
        worst_gradient=worst,
        tolerance=tolerance,
        sensitivity=max(sensitivities, default=None),
    )


def _verify_one(
    device: Child,
    eager: _Eager,
    make_batch: Callable[[int], tuple[Tensor, Tensor]],
    take: int | None,
    tolerance: float,
) -> tuple[_Errors, float | None]:
    """Errors on the first batch that says something. If none does, on the one that says most, measured by
    eager's own noise, which is returned as well."""
    best: tuple[float, _Errors] | None = None
    for draw in range(_TRIES):
        inputs, targets = (tensor[:take] for tensor in make_batch(draw))
        reference = eager.run(inputs, targets)
        result = device.call("run", inputs, targets)
        errors = _compare(result, reference)
        if errors.worst <= tolerance:
            return errors, None
        noise = eager.noise(inputs, targets)
        sensitivity = max(_compare(n, reference).worst for n in noise)
        if sensitivity < tolerance / 10:
            _check(errors, tolerance)
        if best is None or sensitivity < best[0]:
            best = sensitivity, _compare(result, reference, noise, tolerance)
    assert best is not None
    _check(best[1], tolerance)
    return best[1], best[0]


@dataclass(frozen=True)
class _Eager:
    """The reference."""

    model: nn.Module
    task: Task
    batch_norm: BatchNormMode
    learning_rate: float

    def run(self, inputs: Tensor, targets: Tensor, variant: nn.Module | None = None) -> Outcome:
        model = variant or copy.deepcopy(self.model)
        return run_eager(model, self.task, self.batch_norm, inputs, targets, self.learning_rate)

    def noise(self, inputs: Tensor, targets: Tensor) -> list[Outcome]:
        """What eager gives in float64, and with weights moved by about one rounding error."""
        exact = self.run(_double(inputs), _double(targets), copy.deepcopy(self.model).double())
        return [exact, self.run(inputs, targets, _jittered(self.model))]


def run_eager(
    model: nn.Module,
    task: Task,
    batch_norm: BatchNormMode,
    inputs: Tensor,
    targets: Tensor,
    learning_rate: float,
) -> Outcome:
    """The reference: STEPS steps of SGD in eager PyTorch on one batch; changes `model`."""
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    buffers = dict(model.named_buffers())
    before = {name: t.detach().clone() for name, t in {**parameters, **buffers}.items()}
    optimizer = torch.optim.SGD(parameters.values(), lr=learning_rate, momentum=0.9)
    criterion = make_loss(task)
    losses, gradients = [], {}
    for step in range(STEPS):
        set_training_mode(model, batch_norm)
        optimizer.zero_grad()
        with no_dropout(model):
            loss = criterion(model(inputs), targets)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            gradients = {n: p.grad.clone() for n, p in parameters.items() if p.grad is not None}
        optimizer.step()
    model.eval()
    with torch.no_grad():
        logits = model(inputs)
        changes = {name: t.detach() - before[name] for name, t in {**parameters, **buffers}.items()}
    return Outcome(losses, gradients, changes, logits)


def _compare(
    found: Outcome, reference: Outcome, noise: Sequence[Outcome] = (), tolerance: float = 1.0
) -> _Errors:
    """Relative errors of `found`. A tensor is measured against its own norm, or, where that is tiny (a bias
    before batch norm has a gradient that is only noise), against a thousandth of the norm of all of them;
    and never finer than ten times the noise eager itself showed in it."""
    return _Errors(
        loss=_sequence_error(found.losses, reference.losses, [n.losses for n in noise], tolerance),
        predict=_tensor_errors(
            {"logits": found.logits},
            {"logits": reference.logits},
            [{"logits": n.logits} for n in noise],
            tolerance,
        )["logits"],
        gradients=_tensor_errors(
            found.gradients, reference.gradients, [n.gradients for n in noise], tolerance
        ),
        changes=_tensor_errors(found.changes, reference.changes, [n.changes for n in noise], tolerance),
    )


def _tensor_errors(
    found: dict[str, Tensor], reference: dict[str, Tensor], noise: list[dict[str, Tensor]], tolerance: float
) -> dict[str, float]:
    total = sum(_norm(t) ** 2 for t in reference.values()) ** 0.5
    errors = {}
    for name, tensor in found.items():
        expected = reference[name]
        floors = [10 * _distance(n[name], expected) / tolerance for n in noise]
        scale = max(_norm(expected), 1e-3 * total, *floors, 1e-12)
        errors[name] = _distance(tensor, expected) / scale
    return errors


def _check(errors: _Errors, tolerance: float) -> None:
    """Raises CheckFailedError where an error is above the tolerance, NaN included."""
    problems = []
    if not errors.loss <= tolerance:
        problems.append(f"loss (relative error {errors.loss:.1e})")
    for kind, by_name in (("gradient", errors.gradients), ("weights after three steps", errors.changes)):
        wrong = {name: error for name, error in by_name.items() if not error <= tolerance}
        if wrong:
            worst = sorted(wrong, key=wrong.__getitem__, reverse=True)
            named = ", ".join(f"{name} ({wrong[name]:.1e})" for name in worst[:4])
            more = f" and {len(worst) - 4} more" if len(worst) > 4 else ""
            problems.append(f"{kind} of {named}{more}")
    if not errors.predict <= tolerance:
        problems.append(f"predict after training (relative error {errors.predict:.1e})")
    if problems:
        raise CheckFailedError(
            f"the exported program differs from PyTorch by more than {tolerance:g}: {'; '.join(problems)}. "
            "Nothing was written; please report the model"
        )


def _jittered(model: nn.Module) -> nn.Module:
    variant = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in variant.parameters():
            parameter.mul_(1 + _ROUNDING * torch.randn(parameter.shape, generator=generator))
    return variant


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _norm(tensor: Tensor) -> float:
    return tensor.double().norm().item()


def _distance(a: Tensor, b: Tensor) -> float:
    return (a.double() - b.double()).norm().item()


def _sequence_error(
    found: list[float], reference: list[float], noise: list[list[float]], tolerance: float
) -> float:
    def tensors(values: list[float]) -> dict[str, Tensor]:
        return {str(i): torch.tensor(value, dtype=torch.float64) for i, value in enumerate(values)}

    return max(
        _tensor_errors(tensors(found), tensors(reference), [tensors(n) for n in noise], tolerance).values()
    )
