"""Steps between `Joint` and `Edge`, one file each: what they make of a program's graphs.

To add one: write `steps/NAME.py` with a function `Joint → Joint` and a line in `STEPS`, where its turn is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...config.stages import ExportConfig
from ..pipeline import Step
from .cheaper import cheaper
from .dropout import maskable_dropout
from .im2col import without_convolutions


@dataclass(frozen=True)
class Choice:
    """A step, and who wants it; without `wanted` everybody does."""

    step: Step
    wanted: Callable[[ExportConfig], bool] = lambda settings: True


STEPS = (
    Choice(without_convolutions, lambda settings: settings.convolutions == "im2col"),
    Choice(maskable_dropout),
    Choice(cheaper),
)


def chosen_steps(settings: ExportConfig) -> tuple[Step, ...]:
    """The steps of an export, in their order."""
    return tuple(choice.step for choice in STEPS if choice.wanted(settings))
