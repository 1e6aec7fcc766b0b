"""Verification: the written program, run in the real runtime, against eager PyTorch.

Compared are losses, metric sums, predictions, every gradient that is returned, the weights after three steps
of the program's own optimizer (of SGD, where it has none), and then `evaluate` and `predict`, all with
dropout off, on a single sample, on a few, and (one step) on the largest batch; in ExecuTorch's own kernels,
since a program has to be right wherever it is taken, and in edgetrain's where these are installed, since
devices will use them. Of a large model the stock kernels then run the single sample only.

Two float32 computations of one quantity never agree to the last digit, and at a kink of the model (an input
of a ReLU near 0, a tie in a max-pool or between two classes) rounding decides which way a result goes. So
where a batch shows a difference, eager itself is run again in float64 and with weights moved by about one
rounding error. If its own results stay where they were, the program is wrong. If they move as far, the batch
says nothing and another one is taken.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from ..artifacts.manifest import Verification, manifest_path, save_manifest
from ..artifacts.program import Program
from ..config.optimizer import OptimizerConfig
from ..engine.comparison import distance, largest, norm, relative_error
from ..engine.modes import BatchNormMode, set_training_mode
from ..engine.optimizers import make_optimizer
from ..engine.program_optimizer import own_optimizer
from ..errors import CheckFailedError
from ..models.calling import call_model
from ..runner import find_kernels
from ..runtimes.child import Child
from ..runtimes.kernels import Kernels
from ..runtimes.steps import DeviceSteps, Steps
from ..runtimes.torch_eager import no_dropout
from ..tasks import Task
from ..tasks.outputs import named_outputs
from .backbone.fidelity import check_features
from .batches import Batch, MakeBatch
from .pipeline import Quantized, Subject, Verified, Written

STEPS = 3
LEARNING_RATE = 0.01
_ROUNDING = 1e-7
_TRIES = 6
# How long a step on the largest batch may take [s], and where other kernels run the program as well, the
# whole comparison on a batch; stock kernels can need minutes for one step.
_PATIENCE = 60.0
_WHOSE: dict[Kernels, str] = {"stock": "ExecuTorch's own", "fast": "edgetrain's"}

Tensors = Mapping[str, Tensor]
Errors = dict[str, float]


def verify(
    written: Written, subject: Subject, make_batch: MakeBatch, quantized: Quantized | None = None
) -> Verified:
    """Verifies a program, and notes in its manifest what was found.

    Args:
        subject: its model has the same weights and the same parameters requiring gradients; unchanged.
        quantized: set where the backbone is int8. What lies behind it is then compared on the features that
            it gives, and these with what they would be in float32.
    Raises:
        CheckFailedError: a mismatch, naming what differs, or a crash of the runtime.
    """
    program = written.program
    task, tolerance = subject.task, subject.settings.tolerance
    if quantized is None:
        found = compare(program, subject.module, task, make_batch, tolerance)
    else:
        with Child(DeviceSteps, program, what="running the new backbone") as device:
            sqnr = check_features(device, quantized, program.manifest.contract.max_batch_size)
            found = compare(program, quantized.head, task, _behind(device, make_batch), tolerance)
        found = found.model_copy(update={"features_sqnr": sqnr})
    manifest = program.manifest.model_copy(update={"verification": found})
    save_manifest(manifest_path(program.path), manifest)
    return Verified(replace(program, manifest=manifest), found)


def _behind(device: Child, make_batch: MakeBatch) -> MakeBatch:
    """What makes batches of features of the batches that `make_batch` makes."""

    def make(draw: int, size: int) -> Batch:
        batch = make_batch(draw, size)
        return Batch(device.call("features", "stock", batch.inputs), batch.targets)

    return make


def compare(
    program: Program, model: nn.Module, task: Task, make_batch: MakeBatch, tolerance: float
) -> Verification:
    """Runs a program and eager PyTorch side by side.

    Args:
        tolerance: largest relative error accepted.
    Raises:
        CheckFailedError: as `verify`.
    """
    manifest = program.manifest
    contract = manifest.contract
    optimizer = own_optimizer(contract, LEARNING_RATE)
    eager = _Eager(model, task, manifest.batch_norm, optimizer)
    few, most = verification_sizes(manifest.batch_norm, contract.max_batch_size)
    if contract.splits_batches:
        most += 1  # in two parts
    kernels: list[Kernels] = ["stock", "fast"] if find_kernels() is not None else ["stock"]
    runs: dict[Kernels, dict[int, Errors]] = {}
    sensitivities = []
    with Child(DeviceSteps, program, what="running the new program") as device:
        for whose in kernels:
            check = _Check(device, whose, eager, make_batch, tolerance)
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
    errors = {name: largest(run.get(name, 0.0) for run in every) for name in every[0]}
    gradients = {n.removeprefix("gradient of "): e for n, e in errors.items() if _kind(n) == "gradient"}

    def worst(kind: str) -> float:
        return largest(error for name, error in errors.items() if _kind(name) == kind)

    return Verification(
        batch_sizes=sizes,
        kernels=kernels,
        stock_batch_sizes=sorted(runs["stock"]) if len(runs["stock"]) < len(sizes) else None,
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
        if brief and size * (STEPS + 1) * check.seconds_per_sample > _PATIENCE:
            return found
        found[size] = check.run(size, STEPS)
    affordable = int(_PATIENCE / max(check.seconds_per_sample, 1e-6))
    largest_tried = most if in_parts else min(most, affordable)
    if most not in few and largest_tried > max(few):
        found[largest_tried] = check.run(largest_tried, steps=1)
    return found


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
        kernels: whose the program is run in.
        sensitivity: how far eager itself moves by rounding, where no batch could be compared finer.
        seconds_per_sample: of a step in the runtime, measured last.
    """

    device: Child
    kernels: Kernels
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
            batch = self.make_batch(draw, size)
            reference = self.eager.reference(draw, batch, steps)
            found: Steps = self.device.call(
                "run", self.kernels, batch.inputs, batch.targets, steps, self.eager.optimizer
            )
            self.seconds_per_sample = found.seconds / size
            errors = _errors(self.eager.task, found, reference)
            if largest(errors.values()) <= self.tolerance:
                return errors
            noise = self.eager.noise(batch, steps, reference)
            errors = _errors(self.eager.task, found, reference, noise, self.tolerance)
            sensitivity = _sensitivity(reference, noise)
            if sensitivity < self.tolerance / 10:
                self._require(errors)
                return errors
            if best is None or sensitivity < best[0]:
                best = sensitivity, errors
        assert best is not None
        self._require(best[1])
        self.sensitivity = max(best[0], self.sensitivity or 0.0)
        return best[1]

    def _require(self, errors: Errors) -> None:
        _require(errors, self.tolerance, self.kernels)


@dataclass(frozen=True)
class _Eager:
    """The reference."""

    model: nn.Module
    task: Task
    batch_norm: BatchNormMode
    optimizer: OptimizerConfig
    _known: dict[tuple[int, int, int], Steps] = field(default_factory=dict)

    def reference(self, draw: int, batch: Batch, steps: int) -> Steps:
        """As `run`; made once for all kernels."""
        key = (draw, len(batch), steps)
        if key not in self._known:
            self._known[key] = self.run(batch, steps)
        return self._known[key]

    def run(
        self,
        batch: Batch,
        steps: int,
        variant: nn.Module | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Steps:
        """What `DeviceSteps.run` does, in eager PyTorch.

        Args:
            dtype: of outputs, and of the loss that is made of them.
        """
        model = variant or copy.deepcopy(self.model)
        parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        # Masks change never, and can't be subtracted.
        buffers = {name: b for name, b in model.named_buffers() if b.dtype != torch.bool}
        changing = {**parameters, **buffers}
        before = {name: tensor.detach().clone() for name, tensor in changing.items()}
        optimizer = make_optimizer(self.optimizer, parameters.items())
        found = Steps()
        for step in range(1, steps + 1):
            set_training_mode(model, self.batch_norm)
            optimizer.zero_grad()
            with no_dropout(model):
                outputs = named_outputs(call_model(model, batch.inputs), dtype)
            loss = self.task.loss(outputs, batch.targets)
            loss.backward()
            found.quantities[f"loss of step {step}"] = loss.detach()
            if step == 1:
                self._note(found, "train", outputs, batch, loss)
                for name, parameter in parameters.items():
                    if parameter.grad is not None:
                        found.quantities[f"gradient of {name}"] = parameter.grad.clone()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for name, tensor in changing.items():
                found.quantities[f"change of {name}"] = tensor - before[name]
            outputs = named_outputs(call_model(model, batch.inputs), dtype)
            loss = self.task.loss(outputs, batch.targets)
            found.quantities["loss of evaluate"] = loss
            self._note(found, "evaluate", outputs, batch, loss)
            for name, tensor in outputs.items():
                found.quantities[f"predict of {name}"] = tensor
        return found

    def _note(self, found: Steps, method: str, outputs: Tensors, batch: Batch, loss: Tensor) -> None:
        found.outputs[method] = {name: tensor.detach() for name, tensor in outputs.items()}
        sums = self.task.sums(found.outputs[method], batch.targets, loss.detach())
        found.quantities.update({f"sum of {name} in {method}": tensor for name, tensor in sums.items()})

    def noise(self, batch: Batch, steps: int, reference: Steps) -> Errors:
        """How far each quantity moves, in the 2-norm, in float64 and with weights moved by about one rounding
        error.

        Losses have the largest of theirs, and sums of one metric too: they are made of terms of one size, and
        one that is small, as of a sample the model is sure of, may stay where it is just by chance.
        """
        # A loss of one's own may take nothing but float32.
        finest = torch.float64 if self.task.own_loss is None else torch.float32
        exact = self.run(_double(batch), steps, copy.deepcopy(self.model).double(), finest)
        # Several times: whether a kink shows depends on the direction.
        moved = [self.run(batch, steps, _jittered(self.model, seed)) for seed in range(4)]
        found = {
            name: largest(distance(other.quantities[name], expected) for other in (exact, *moved))
            for name, expected in reference.quantities.items()
        }
        return {name: largest(found[n] for n in found if _terms(n) == _terms(name)) for name in found}


def _errors(
    task: Task,
    found: Steps,
    reference: Steps,
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
        outputs = reference.outputs[method]
        errors[f"predictions of {method}"] = task.prediction_error(predictions, outputs)
    return errors


def _sensitivity(reference: Steps, noise: Errors) -> float:
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


def _terms(name: str) -> str:
    """What tells quantities apart that are made of different terms."""
    return {"loss": "loss", "sum": name.split(" in ")[0]}.get(_kind(name), name)


def _require(errors: Errors, tolerance: float, kernels: Kernels) -> None:
    """Raises CheckFailedError where an error is above the tolerance, NaN included."""
    wrong = {name: error for name, error in errors.items() if not error <= tolerance}
    if not wrong:
        return
    worst = sorted(wrong, key=lambda name: (_kind(name) != "gradient", -wrong[name]))
    named = ", ".join(f"{name} ({wrong[name]:.1e})" for name in worst[:6])
    more = f" and {len(worst) - 6} more" if len(worst) > 6 else ""
    raise CheckFailedError(
        f"the exported program, in {_WHOSE[kernels]} kernels, differs from PyTorch by more than "
        f"{tolerance:g} (relative errors): {named}{more}. Nothing was written; please report the model"
    )


def _jittered(model: nn.Module, seed: int) -> nn.Module:
    variant = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in variant.parameters():
            parameter.mul_(1 + _ROUNDING * torch.randn(parameter.shape, generator=generator))
    return variant


def _double(batch: Batch) -> Batch:
    def exact(tensors: Tensors) -> dict[str, Tensor]:
        return {n: t.double() if t.is_floating_point() else t for n, t in tensors.items()}

    return Batch(exact(batch.inputs), exact(batch.targets))
