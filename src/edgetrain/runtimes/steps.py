"""A few steps of a program, for comparison with eager PyTorch.

This runs in a child process, and so lies apart from what it is compared with: importing that would import
the compiler as well, which takes seconds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..artifacts.program import Program
from ..config.optimizer import OptimizerConfig
from ..upstream.files import import_reader, runtime_operator_names
from ..upstream.imports import import_lowering
from .base import GraphSession, Outcome, Tensors
from .kernels import Kernels
from .parts import evaluate_in_parts, predict_in_parts
from .sessions import open_session
from .stepping import gradients_of, make_stepper


def prepare() -> None:
    """Imports what `DeviceSteps` will need."""
    from . import executorch_py  # noqa: F401

    runtime_operator_names()
    import_lowering()
    import_reader()


@dataclass
class Steps:
    """What a few training steps on one batch give.

    Attributes:
        quantities: losses, metric sums and gradients of the first step, changes of changing tensors over all
            steps, loss, sums and outputs in evaluation mode afterwards; by a name for people, as in "gradient
            of head.weight".
        predictions: of the first step (`train`) and afterwards (`evaluate`), by name.
        outputs: what these predictions are made from; the reference has them.
        seconds: of the first step.
    """

    quantities: dict[str, Tensor] = field(default_factory=dict)
    predictions: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    outputs: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    seconds: float = 0.0


class DeviceSteps:
    """Runs a program in ExecuTorch, without dropout, from its own weights each time."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.before = program.tensors()

    def features(self, kernels: Kernels, inputs: Tensors) -> dict[str, Tensor]:
        """The features of a batch, of any size."""
        session = open_session("executorch", self.program, dropout=False, kernels=kernels)
        assert isinstance(session, GraphSession)
        size, count = session.contract.max_batch_size, len(next(iter(inputs.values())))
        parts = [
            session.features({name: tensor[start : start + size] for name, tensor in inputs.items()})
            for start in range(0, count, size)
        ]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def run(
        self, kernels: Kernels, inputs: Tensors, targets: Tensors, steps: int, optimizer: OptimizerConfig
    ) -> Steps:
        """`steps` steps on one batch, by the program's own optimizer where that is the one asked for.

        Args:
            kernels: whose; after the first run in edgetrain's there is none in the stock ones.
        """
        session = open_session("executorch", self.program, dropout=False, kernels=kernels)
        found = Steps()
        if session.contract.gradient_method is not None:
            for name, gradient in gradients_of(session, (inputs, targets)).items():
                found.quantities[f"gradient of {name}"] = gradient
        stepper = make_stepper(session, optimizer)
        for step in range(1, steps + 1):
            started = time.perf_counter()
            (outcome,) = stepper.step([(inputs, targets)], optimizer.lr)
            found.quantities[f"loss of step {step}"] = torch.tensor(outcome.loss)
            if step == 1:
                found.seconds = time.perf_counter() - started
                _note(found, "train", outcome)
        for name, tensor in session.changed_tensors().items():
            found.quantities[f"change of {name}"] = tensor - self.before[name]
        outcome = evaluate_in_parts(session, inputs, targets)
        found.quantities["loss of evaluate"] = torch.tensor(outcome.loss)
        _note(found, "evaluate", outcome)
        for name, tensor in predict_in_parts(session, inputs).items():
            found.quantities[f"predict of {name}"] = tensor
        return found


def _note(found: Steps, method: str, outcome: Outcome) -> None:
    found.predictions[method] = outcome.predictions
    for name, tensor in outcome.sums.items():
        found.quantities[f"sum of {name} in {method}"] = tensor
