"""The steps of `DeviceSteps` in eager PyTorch, and how well their results are known.

Two float32 computations of one quantity never agree to the last digit, and at a kink of the model (an input
of a ReLU near 0, a tie in a max-pool or between two classes) rounding decides which way a result goes. So
eager itself is run in float64, and in float32 from weights moved by about one rounding error: how far its
own float32 results lie from float64 is what no program can be asked to do better than.

A kink that lies a few roundings away may show in a program, which adds up in another order, and in none of
these. Moves that are ten times as large find it: what goes with them by much more than ten times as far has
jumped. And a simple loop that adds up thousands of numbers is ten roundings off by itself, so that no result
is wrong that lies no further than these moves take eager's.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import torch
from torch import Tensor, nn

from ..config.optimizer import OptimizerConfig
from ..engine.comparison import OWN_ERRORS, Truth, distance, largest, norm
from ..engine.modes import BatchNormMode, set_training_mode
from ..engine.optimizers import make_optimizer
from ..engine.sound_norms import SoundNorms
from ..engine.terms import watch_means, watch_terms
from ..engine.threads import one_thread
from ..models.calling import call_model
from ..tasks import Task
from ..tasks.outputs import named_outputs
from .base import Tensors
from .steps import Steps
from .torch_eager import no_dropout

_ROUNDING = 1e-7
_KINK = 1e-6
# Directions that weights are moved in. Several: whether a kink shows depends on the direction.
_DIRECTIONS = 3
# How much further than in proportion to the moves a result goes that jumps.
_JUMP = 3.0


class Moves(Enum):
    """What shows how well eager knows its results, from what takes least to what takes most."""

    NONE = "float64 alone"
    ROUNDING = "weights moved by about one rounding error"
    KINKS = "and by ten"


@dataclass(frozen=True)
class EagerSteps:
    """Runs a model from its weights each time, without dropout and on one thread; the model is unchanged."""

    model: nn.Module
    task: Task
    batch_norm: BatchNormMode
    optimizer: OptimizerConfig

    @one_thread()
    def run(self, inputs: Tensors, targets: Tensors, steps: int) -> Steps:
        """`steps` steps on one batch."""
        return self._run(copy.deepcopy(self.model), inputs, targets, steps)

    def evidence(
        self, inputs: Tensors, targets: Tensors, steps: int, reference: Steps | None = None
    ) -> Evidence:
        """What shows how such steps should come out.

        Args:
            reference: what `run` gave.
        """
        return Evidence(self, inputs, targets, steps, reference or self.run(inputs, targets, steps))

    def truths(self, inputs: Tensors, targets: Tensors, steps: int) -> dict[str, Truth]:
        """What every quantity of such steps should be, by name; see `Evidence.truths`."""
        return self.evidence(inputs, targets, steps).truths(Moves.ROUNDING)

    @one_thread()
    def moved(self, by: float, inputs: Tensors, targets: Tensors, steps: int) -> list[Steps]:
        """Results from weights moved by a share of their size, in some directions."""
        return [
            self._run(_moved(self.model, by, seed), inputs, targets, steps) for seed in range(_DIRECTIONS)
        ]

    def gradient_truths(self, inputs: Tensors, targets: Tensors) -> dict[str, Truth]:
        """What the gradients of a batch should be, by parameter."""
        prefix = "gradient of "
        found = self.truths(inputs, targets, 1)
        return {name.removeprefix(prefix): t for name, t in found.items() if name.startswith(prefix)}

    @one_thread()
    def exact(
        self, inputs: Tensors, targets: Tensors, steps: int, reference: Steps
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Quantities in float64, and the sizes of the terms of some. A model with float32 in its code can't
        be run so; its float32 results have to do."""
        # A loss of one's own may take nothing but float32.
        finest = torch.float64 if self.task.own_loss is None else torch.float32
        terms: dict[str, float] = {}
        try:
            model = copy.deepcopy(self.model).double()
            with _double_by_default(), watch_means(model) as means:
                found = self._run(model, _double(inputs), _double(targets), steps, finest, terms)
        except (RuntimeError, TypeError, ValueError):
            return {name: tensor.double() for name, tensor in reference.quantities.items()}, {}
        # Of SGD, a change is the sum of the gradients; adaptive ones make every change as large.
        rate = self.optimizer.lr * steps if self.optimizer.name == "sgd" else 0.0
        sizes = {f"gradient of {name}": size for name, size in terms.items()}
        changes = {name: rate * size for name, size in terms.items()}
        changes |= {name: steps * size for name, size in means.items()}
        return found.quantities, sizes | {f"change of {name}": size for name, size in changes.items()}

    def _run(
        self,
        model: nn.Module,
        inputs: Tensors,
        targets: Tensors,
        steps: int,
        dtype: torch.dtype = torch.float32,
        terms: dict[str, float] | None = None,
    ) -> Steps:
        """What `DeviceSteps.run` does.

        Args:
            model: it is trained.
            dtype: of outputs, and of the loss that is made of them.
            terms: takes the sizes of the terms of the first step's gradients.
        """
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
            with no_dropout(model), SoundNorms():
                outputs = named_outputs(call_model(model, inputs), dtype)
            loss = self.task.loss(outputs, targets)
            sizes = watch_terms(loss, parameters) if step == 1 and terms is not None else {}
            loss.backward()
            found.quantities[f"loss of step {step}"] = loss.detach()
            if step == 1:
                if terms is not None:
                    terms.update(sizes)
                self._note(found, "train", outputs, targets, loss)
                for name, parameter in parameters.items():
                    if parameter.grad is not None:
                        found.quantities[f"gradient of {name}"] = parameter.grad.clone()
            optimizer.step()
        model.eval()
        with torch.no_grad(), no_dropout(model):
            for name, tensor in changing.items():
                found.quantities[f"change of {name}"] = tensor - before[name]
            outputs = named_outputs(call_model(model, inputs), dtype)
            loss = self.task.loss(outputs, targets)
            found.quantities["loss of evaluate"] = loss
            self._note(found, "evaluate", outputs, targets, loss)
            for name, tensor in outputs.items():
                found.quantities[f"predict of {name}"] = tensor
        return found

    def _note(self, found: Steps, method: str, outputs: Tensors, targets: Tensors, loss: Tensor) -> None:
        found.outputs[method] = {name: tensor.detach() for name, tensor in outputs.items()}
        sums = self.task.sums(found.outputs[method], targets, loss.detach())
        found.quantities.update({f"sum of {name} in {method}": tensor for name, tensor in sums.items()})


@dataclass(frozen=True)
class Evidence:
    """What shows how steps on one batch should come out, and how well eager knows it; each part is worked out
    once, when it is first asked for."""

    eager: EagerSteps
    inputs: Tensors
    targets: Tensors
    steps: int
    reference: Steps

    @cached_property
    def _exact(self) -> tuple[dict[str, Tensor], dict[str, float]]:
        return self.eager.exact(self.inputs, self.targets, self.steps, self.reference)

    @cached_property
    def _own(self) -> dict[str, float]:
        return _distances([self.reference], self._exact[0])

    @cached_property
    def _near(self) -> dict[str, float]:
        return self._moved_by(_ROUNDING)

    @cached_property
    def _far(self) -> dict[str, float]:
        return self._moved_by(_KINK)

    def _moved_by(self, share: float) -> dict[str, float]:
        moved = self.eager.moved(share, self.inputs, self.targets, self.steps)
        return _distances(moved, self._exact[0])

    def truths(self, moves: Moves) -> dict[str, Truth]:
        """What every quantity of the steps should be, by name.

        Losses have the largest `own` of theirs, and sums of one metric too: they are made of terms of one
        size, and one that is small, as of a sample the model is sure of, may stay where it is just by chance.

        Args:
            moves: with fewer, eager seems to know its results better than it does.
        """
        own = self._own
        if moves is not Moves.NONE:
            own = {name: largest((own[name], self._near[name])) for name in own}
        if moves is Moves.KINKS:
            own = {name: _with_kinks(own[name], self._far[name]) for name in own}
        own = {name: largest(own[n] for n in own if _made_alike(n) == _made_alike(name)) for name in own}
        exact, terms = self._exact
        return {name: Truth(value, own[name], terms.get(name, 0.0)) for name, value in exact.items()}


def _with_kinks(own: float, far: float) -> float:
    """How well a quantity is known that weights moved by ten roundings take so far."""
    return far if far > _JUMP * _KINK / _ROUNDING * own else max(own, far / OWN_ERRORS)


def kind_of(quantity: str) -> str:
    """`gradient` of "gradient of head.weight"."""
    return quantity.split(" of ")[0]


def sensitivity_of(truths: Mapping[str, Truth]) -> float:
    """How far eager float32 is from float64, where that matters.

    Left out is a tensor that is a millionth of all of its kind, since it may be nothing but noise (the
    gradients of what a softmax over one element reads are), which is no reason to mistrust the others; and
    how weights change, since a change is rounded as its weight is, with whatever batch.
    """
    totals: dict[str, float] = {}
    for name, truth in truths.items():
        totals[kind_of(name)] = (totals.get(kind_of(name), 0.0) ** 2 + norm(truth.exact) ** 2) ** 0.5
    return largest(
        truth.own_error
        for name, truth in truths.items()
        if kind_of(name) != "change" and not truth.scale <= 1e-6 * totals[kind_of(name)]
    )


def _made_alike(quantity: str) -> str:
    """The same for quantities that are made of terms of one kind."""
    return {"loss": "loss", "sum": quantity.split(" in ")[0]}.get(kind_of(quantity), quantity)


def _distances(runs: list[Steps], exact: Mapping[str, Tensor]) -> dict[str, float]:
    """How far any of some runs lies from what float64 gives, by quantity."""
    return {
        name: largest(distance(run.quantities[name], value) for run in runs) for name, value in exact.items()
    }


def _moved(model: nn.Module, by: float, seed: int) -> nn.Module:
    variant = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in variant.parameters():
            parameter.mul_(1 + by * torch.randn(parameter.shape, generator=generator))
    return variant


def _double(tensors: Tensors) -> dict[str, Tensor]:
    return {n: t.double() if t.is_floating_point() else t for n, t in tensors.items()}


@contextlib.contextmanager
def _double_by_default() -> Iterator[None]:
    """What a model makes in `forward` (a first hidden state, a mask) is float64 too."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
