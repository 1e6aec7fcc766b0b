"""What changes a model's weights while it is trained, besides the optimizer."""

from __future__ import annotations

from typing import Any, Protocol

from torch import nn


class StepHook(Protocol):
    """Called after each step of the optimizer. What it does follows from its arguments alone, so that a run
    that is resumed is the run that was never interrupted.

    Attributes:
        settings: as plain data; a run is resumed with the same ones only.
    """

    settings: dict[str, Any]

    def after_step(self, model: nn.Module, step: int, total: int) -> None:
        """Changes the model's weights.

        Args:
            step: the optimizer's steps so far, 1 for the first.
            total: steps of the whole run.
        """

    def settled(self, step: int, total: int) -> bool:
        """Whether the model is, after this step, what it is to become: its epochs may count as the best."""
