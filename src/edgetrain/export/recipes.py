"""The kinds of programs that are made."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any, Literal

from ..artifacts.contract import BACKBONE
from ..config.stages import ExportCommand
from .pipeline import Recipe, Steps
from .steps import chosen_steps
from .steps.composed import composed
from .steps.kept_zeros import weights_themselves
from .steps.unshared_weights import unshared_weights

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


def inference_recipe(backend: Backend, portable: Collection[str] = ()) -> Recipe:
    """A program with one method, `forward`, and its weights inside.

    Args:
        portable: operators that the backend doesn't get, as in `prelu.default`.
    """
    partitioners = _PARTITIONERS[backend]
    if partitioners is not None and portable:
        partitioners = partial(partitioners, portable)
    steps = (weights_themselves, composed, *_BEFORE[backend])
    return Recipe(steps=Steps(captured=steps), partitioners=partitioners)


def xnnpack_operators() -> list[str]:
    """What XNNPACK may get, as in `prelu.default`."""
    from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS

    return [config.target_name for config in ALL_PARTITIONER_CONFIGS if isinstance(config.target_name, str)]


def _xnnpack(portable: Collection[str] = ()) -> list[Any]:
    from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    configs = [config for config in ALL_PARTITIONER_CONFIGS if config.target_name not in portable]
    return [XnnpackPartitioner(configs)]


_PARTITIONERS: dict[Backend, Any] = {"portable": None, "xnnpack": _xnnpack}
# What a backend's own passes need.
_BEFORE: dict[Backend, Any] = {"portable": (), "xnnpack": (unshared_weights,)}
