"""Steps between the stations of an export, one file each.

To add one: write `steps/NAME.py` with a function from one of the records of `pipeline` and the command's
settings to a record of the same kind, and a line in the list of that record, where its turn is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from ...config.stages import ExportCommand
from ..pipeline import Captured, Edge, Joint, Steps
from .backbone import backbone
from .cheaper import cheaper
from .composed import composed
from .dropout import maskable_dropout
from .folded_batch_norm import folded_batch_norm
from .im2col import without_convolutions
from .kept_zeros import masked_gradients, weights_themselves
from .optimizer_in_graph import optimizer_in_graph
from .order import order
from .parts import parts_at_once
from .recompute import recompute
from .reused_memory import reused_memory
from .update_in_graph import update_in_graph
from .weights import weights_method

Record = TypeVar("Record", Captured, Joint, Edge)


@dataclass(frozen=True)
class Choice(Generic[Record]):
    """A step, and who wants it; without `wanted` everybody does."""

    step: Callable[[Record, ExportCommand], Record]
    wanted: Callable[[ExportCommand], bool] = lambda command: True


ON_CAPTURED: tuple[Choice[Captured], ...] = (
    Choice(weights_themselves),
    Choice(backbone, lambda command: command.export.backbone != "none"),
    Choice(folded_batch_norm),
    Choice(parts_at_once),
    Choice(composed),
)
ON_JOINT: tuple[Choice[Joint], ...] = (
    Choice(without_convolutions, lambda command: command.export.convolutions == "im2col"),
    Choice(maskable_dropout),
    Choice(cheaper),
    Choice(masked_gradients),
    Choice(optimizer_in_graph, lambda command: command.export.update_in_graph != "off"),
    Choice(weights_method),
)
ON_EDGE: tuple[Choice[Edge], ...] = (
    Choice(recompute),
    Choice(update_in_graph, lambda command: command.export.update_in_graph != "off"),
    Choice(order),
    Choice(reused_memory),
)


def chosen_steps(command: ExportCommand) -> Steps:
    """The steps of an export, in their order."""
    return Steps(
        captured=_bound(ON_CAPTURED, command),
        joint=_bound(ON_JOINT, command),
        edge=_bound(ON_EDGE, command),
    )


def _bound(choices: Sequence[Choice[Any]], command: ExportCommand) -> tuple[Any, ...]:
    return tuple(_bind(choice.step, command) for choice in choices if choice.wanted(command))


def _bind(step: Callable[..., Any], command: ExportCommand) -> Callable[[Any], Any]:
    return partial(step, command=command)
