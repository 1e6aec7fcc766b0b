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
from .sessions import open_session


@dataclass
class Outcome:
    """What a few training steps on one batch give.

    Attributes:
        quantities: losses, gradients of the first step, changes of mutable tensors over all steps, loss and
            logits in evaluation mode afterwards; by a name for people, as in "gradient of head.weight".
        predictions: of the first step (`train`) and afterwards (`evaluate`).
        logits: what these predictions are made from; the reference has them.
        seconds: of the first step.
    """

    quantities: dict[str, Tensor] = field(default_factory=dict)
    predictions: dict[str, Tensor] = field(default_factory=dict)
    logits: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0


class DeviceSteps:
    """Runs a program in ExecuTorch, without dropout, from its own weights each time.

    In stock kernels: a program has to be right wherever it is taken, and edgetrain's kernels have tests of
    their own.
    """

    def __init__(self, program: Program, learning_rate: float) -> None:
        self.program = program
        self.learning_rate = learning_rate
        self.before = program.tensors()

    def run(self, inputs: Tensor, targets: Tensor, steps: int) -> Outcome:
        """`steps` steps of SGD with momentum 0.9 on one batch."""
        session = open_session("executorch", self.program, dropout=False, kernels="stock")
        outcome = Outcome()
        optimizer = None
        for step in range(1, steps + 1):
            started = time.perf_counter()
            loss, predictions = session.forward_backward(inputs, targets)
            outcome.quantities[f"loss of step {step}"] = torch.tensor(loss)
            if optimizer is None:
                outcome.seconds = time.perf_counter() - started
                outcome.predictions["train"] = predictions
                for name, gradient in session.gradients.items():
                    outcome.quantities[f"gradient of {name}"] = gradient.clone()
                optimizer = torch.optim.SGD(session.parameters.values(), lr=self.learning_rate, momentum=0.9)
            for name, parameter in session.parameters.items():
                parameter.grad = session.gradients[name]
            optimizer.step()
        for name, tensor in session.changed_tensors().items():
            outcome.quantities[f"change of {name}"] = tensor - self.before[name]
        loss, outcome.predictions["evaluate"] = session.evaluate(inputs, targets)
        outcome.quantities["loss of evaluate"] = torch.tensor(loss)
        outcome.quantities["predict"] = session.predict(inputs)
        return outcome
