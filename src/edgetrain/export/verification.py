"""Verification: the written program, run in the real runtime, against eager PyTorch.

Compared are the loss, every gradient, the weights after three SGD steps and `predict` with them, all with
dropout off. Two float32 computations of one quantity never agree to the last digit, and at a kink of the
model (an input of a ReLU near 0, a tie in a max-pool) rounding decides which way a gradient goes. So eager
itself is also run in float64 and with weights moved by about one rounding error; batches on which its own
results move too far say nothing about the program and are replaced by others.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..artifacts.manifest import Verification
from ..artifacts.program import Program
from ..artifacts.specs import Task
from ..engine.losses import make_loss
from ..engine.modes import BatchNormMode, set_training_mode
from ..errors import CheckFailedError
from ..runtimes.base import open_session
from ..runtimes.child import run_in_child
from ..runtimes.torch_eager import no_dropout

STEPS = 3
_ROUNDING = 1e-7
_TRIES = 12


@dataclass
class Outcome:
    """What a few training steps give.

    Attributes:
        losses: of each step.
        gradients: of the first step, by parameter name.
        changes: of each mutable tensor over all steps, by name.
        logits: of `predict` afterwards, [B, ...].
    """

    losses: list[float]
    gradients: dict[str, Tensor]
    changes: dict[str, Tensor]
    logits: Tensor


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
        make_batch: seed → (inputs, targets).
        learning_rate: of the SGD steps (momentum 0.9).
        tolerance: largest relative error accepted.
    Raises:
        CheckFailedError: a mismatch, naming the tensors, or a crash of the runtime.
    """
    manifest = program.manifest
    batches = _batches(model, manifest.task, manifest.batch_norm, make_batch, learning_rate, tolerance)
    worst = Verification(
        batches=len(batches),
        loss=0.0,
        gradients=0.0,
        weights_after_steps=0.0,
        predict_after_steps=0.0,
        worst_gradient="",
        tolerance=tolerance,
        sensitivity=max(batch.sensitivity for batch in batches),
    )
    what = "running the new program; nothing was written"
    results = run_in_child(
        _run_program, program, [(b.inputs, b.targets) for b in batches], learning_rate, what=what
    )
    for batch, result in zip(batches, results, strict=True):
        errors = _compare(result, batch.reference, batch.noise, tolerance)
        _check(errors, tolerance)
        gradient = max(errors.gradients, key=errors.gradients.__getitem__)
        if errors.gradients[gradient] >= worst.gradients:
            worst.gradients, worst.worst_gradient = errors.gradients[gradient], gradient
        worst.loss = max(worst.loss, errors.loss)
        worst.weights_after_steps = max(worst.weights_after_steps, *errors.changes.values())
        worst.predict_after_steps = max(worst.predict_after_steps, errors.predict)
    return worst


@dataclass
class _Batch:
    inputs: Tensor
    targets: Tensor
    reference: Outcome
    noise: list[Outcome]
    sensitivity: float


def _batches(
    model: nn.Module,
    task: Task,
    batch_norm: BatchNormMode,
    make_batch: Callable[[int], tuple[Tensor, Tensor]],
    learning_rate: float,
    tolerance: float,
) -> list[_Batch]:
    """A well-conditioned batch of the full size and one of a single sample; the best of some tries."""
    chosen = []
    for take in (None, 1) if batch_norm == "frozen" else (None,):
        best: _Batch | None = None
        for seed in range(_TRIES):
            inputs, targets = make_batch(seed)
            batch = _measured(model, task, batch_norm, inputs[:take], targets[:take], learning_rate)
            if best is None or batch.sensitivity < best.sensitivity:
                best = batch
            if best.sensitivity < tolerance / 10:
                break
        assert best is not None
        chosen.append(best)
    return chosen


def _measured(
    model: nn.Module,
    task: Task,
    batch_norm: BatchNormMode,
    inputs: Tensor,
    targets: Tensor,
    learning_rate: float,
) -> _Batch:
    def run(variant: nn.Module, x: Tensor, y: Tensor) -> Outcome:
        return run_eager(variant, task, batch_norm, x, y, learning_rate)

    reference = run(copy.deepcopy(model), inputs, targets)
    exact = run(copy.deepcopy(model).double(), _double(inputs), _double(targets))
    noise = [exact, run(_jittered(model), inputs, targets)]
    sensitivity = max(_compare(n, reference, [], 1.0).worst for n in noise)
    return _Batch(inputs, targets, reference, noise, sensitivity)


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
        with no_dropout():
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


def _run_program(
    program: Program, batches: list[tuple[Tensor, Tensor]], learning_rate: float
) -> list[Outcome]:
    """In the child: the same steps in ExecuTorch, from fresh weights for each batch."""
    before = program.tensors()
    outcomes = []
    for inputs, targets in batches:
        session = open_session("executorch", program, dropout=False)
        losses, gradients = [], {}
        optimizer = None
        for step in range(STEPS):
            loss, _ = session.forward_backward(inputs, targets)
            losses.append(loss)
            if optimizer is None:
                optimizer = torch.optim.SGD(session.parameters.values(), lr=learning_rate, momentum=0.9)
            for name, parameter in session.parameters.items():
                parameter.grad = session.gradients[name]
            if step == 0:
                gradients = {name: gradient.clone() for name, gradient in session.gradients.items()}
            optimizer.step()
        logits = session.predict(inputs)
        changes = {name: tensor - before[name] for name, tensor in session.changed_tensors().items()}
        outcomes.append(Outcome(losses, gradients, changes, logits))
    return outcomes


def _compare(found: Outcome, reference: Outcome, noise: list[Outcome], tolerance: float) -> _Errors:
    """Relative errors of `found`. A tensor is measured against its own norm, or, where that is tiny (a bias
    before batch norm has a gradient that is only noise), against a thousandth of the norm of all of them;
    and never finer than ten times the noise eager itself showed in it."""
    return _Errors(
        loss=max(_relative(a, b) for a, b in zip(found.losses, reference.losses, strict=True)),
        predict=_distance(found.logits, reference.logits) / max(_norm(reference.logits), 1e-12),
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


def _relative(a: float, b: float) -> float:
    return abs(a - b) / max(abs(b), 1e-12)
