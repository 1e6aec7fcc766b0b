"""A few SGD steps of a program, for comparison with eager PyTorch.

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
from .base import Outcome, Tensors
from .kernels import Kernels
from .sessions import open_session
from .stepping import Stepper


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

    def __init__(self, program: Program, learning_rate: float) -> None:
        self.program = program
        self.learning_rate = learning_rate
        self.before = program.tensors()

    def run(self, kernels: Kernels, inputs: Tensors, targets: Tensors, steps: int) -> Steps:
        """`steps` steps of SGD with momentum 0.9 on one batch.

        Args:
            kernels: whose; after the first run in edgetrain's there is none in the stock ones.
        """
        session = open_session("executorch", self.program, dropout=False, kernels=kernels)
        found = Steps()
        stepper = Stepper(session, OptimizerConfig(lr=self.learning_rate, momentum=0.9))
        for step in range(1, steps + 1):
            started = time.perf_counter()
            (outcome,) = stepper.forward_backward([(inputs, targets)])
            found.quantities[f"loss of step {step}"] = torch.tensor(outcome.loss)
            if step == 1:
                found.seconds = time.perf_counter() - started
                _note(found, "train", outcome)
                for name, gradient in stepper.gradients.items():
                    found.quantities[f"gradient of {name}"] = gradient.clone()
            stepper.update(self.learning_rate)
        for name, tensor in session.changed_tensors().items():
            found.quantities[f"change of {name}"] = tensor - self.before[name]
        outcome = session.evaluate(inputs, targets)
        found.quantities["loss of evaluate"] = torch.tensor(outcome.loss)
        _note(found, "evaluate", outcome)
        for name, tensor in session.predict(inputs).items():
            found.quantities[f"predict of {name}"] = tensor
        return found


def _note(found: Steps, method: str, outcome: Outcome) -> None:
    found.predictions[method] = outcome.predictions
    for name, tensor in outcome.sums.items():
        found.quantities[f"sum of {name} in {method}"] = tensor
