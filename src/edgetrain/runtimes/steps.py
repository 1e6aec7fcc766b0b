"""A few SGD steps of a program, for comparison with eager PyTorch.

This runs in a child process, and so lies apart from what it is compared with: importing that would import
the compiler as well, which takes seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..artifacts.program import Program
from .base import open_session

STEPS = 3


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


class DeviceSteps:
    """Runs a program in ExecuTorch, without dropout, from its own weights each time."""

    def __init__(self, program: Program, learning_rate: float) -> None:
        self.program = program
        self.learning_rate = learning_rate
        self.before = program.tensors()

    def run(self, inputs: Tensor, targets: Tensor) -> Outcome:
        """STEPS steps of SGD from the program's weights."""
        session = open_session("executorch", self.program, dropout=False)
        losses, gradients = [], {}
        optimizer = None
        for step in range(STEPS):
            loss, _ = session.forward_backward(inputs, targets)
            losses.append(loss)
            if optimizer is None:
                optimizer = torch.optim.SGD(session.parameters.values(), lr=self.learning_rate, momentum=0.9)
            for name, parameter in session.parameters.items():
                parameter.grad = session.gradients[name]
            if step == 0:
                gradients = {name: gradient.clone() for name, gradient in session.gradients.items()}
            optimizer.step()
        logits = session.predict(inputs)
        changes = {name: tensor - self.before[name] for name, tensor in session.changed_tensors().items()}
        return Outcome(losses, gradients, changes, logits)
