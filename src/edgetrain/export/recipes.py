"""The kinds of programs that are made."""

from __future__ import annotations

from typing import Any, Literal

from ..artifacts.contract import BACKBONE
from ..config.stages import ExportCommand
from .pipeline import Recipe, Steps
from .steps import chosen_steps
from .steps.composed import composed
from .steps.kept_zeros import weights_themselves

Backend = Literal["portable", "xnnpack"]


def training_recipe(command: ExportCommand) -> Recipe:
    """A program with `train`, `evaluate` and `predict` over one set of weights."""
    return Recipe(
        steps=chosen_steps(command),
        partitioners=_PARTITIONERS["portable" if command.export.backbone == "none" else "xnnpack"],
        delegated=[BACKBONE],
        external=command.export.weights == "external",
        training=True,
    )


def inference_recipe(backend: Backend) -> Recipe:
    """A program with one method, `forward`, and its weights inside."""
    return Recipe(steps=Steps(captured=(weights_themselves, composed)), partitioners=_PARTITIONERS[backend])


def _xnnpack() -> list[Any]:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    return [XnnpackPartitioner()]


_PARTITIONERS: dict[Backend, Any] = {"portable": None, "xnnpack": _xnnpack}
