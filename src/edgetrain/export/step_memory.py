"""What a step of training takes in a planned program."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from ..artifacts.contract import STEP_METHODS
from ..config.stages import ExportCommand
from .optimizers.state import states_of, sums_of
from .pipeline import Lowered


@dataclass(frozen=True)
class StepMemory:
    """Bytes that a step takes.

    Attributes:
        activations: the largest arena of its methods.
        weights: those that change.
        state: of the optimizer, in the program or outside, and sums of gradients where batches are run in
            parts.
        total: in all, with what lies unused between weights.
    """

    activations: int
    weights: int
    state: int
    total: int


def step_memory(lowered: Lowered, command: ExportCommand) -> StepMemory:
    """What a step of a program takes with the optimizer it is exported with."""
    joint, tensors = lowered.edge.joint, lowered.edge.tensors
    states, outside = joint.states, 0
    if joint.optimizer is None:
        parameters = {name: tensors[name] for name in joint.trainable}
        sums = {} if command.export.micro_batch is None else sums_of(parameters)
        states = {**states_of(command.optimizer, parameters), **sums}
        outside = _bytes(states.values())
    arenas = [lowered.arena_bytes[name] for name in STEP_METHODS if name in lowered.arena_bytes]
    activations = max(arena[0] for arena in arenas)
    return StepMemory(
        activations=activations,
        weights=_bytes(tensors[name] for name in (*joint.trainable, *joint.mutated)),
        state=_bytes(states.values()),
        total=activations + max(sum(arena[1:]) for arena in arenas) + outside,
    )


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
