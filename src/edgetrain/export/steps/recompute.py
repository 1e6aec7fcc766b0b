"""Results that backward makes again rather than finds kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch.export import ExportedProgram

from ...config.stages import ExportCommand, parse_bytes
from ...reporting import megabytes
from ..pipeline import Edge
from ..recomputation.choice import Choice, all_kept, blocks_again, cheap_again, choose, within
from ..recomputation.replay import replay
from ..recomputation.tape import Tape, make_tape

_CHOICES: dict[str, Callable[[Tape], Choice]] = {
    "none": all_kept,
    "cheap": cheap_again,
    "blocks": blocks_again,
    "budget": lambda tape: within(tape, 0),
}


@dataclass(frozen=True)
class Recomputed:
    """What became of a joint graph.

    Attributes:
        operators: called a second time, in backward.
        extra_macs: multiply-adds of these, as a share of those of the whole step before.
        peak_before: most activations, gradients and temporaries that lived at once, for the largest batch
            [bytes].
        peak_after: the same afterwards.
    """

    operators: int
    extra_macs: float
    peak_before: int
    peak_after: int

    def __str__(self) -> str:
        return (
            f"backward makes {self.operators} operators again ({100 * self.extra_macs:.1f} % more "
            f"multiply-adds), for a peak of {megabytes(self.peak_after)} rather than "
            f"{megabytes(self.peak_before)} before the operators are ordered"
        )


def recompute(edge: Edge, command: ExportCommand) -> Edge:
    """Has the backward graphs of `train` and `gradients` make again what `export.recompute` says, in place.

    Each comes as near to a budget as it can; whether `train` keeps it is known once its memory is planned.
    """
    notes = []
    for name in ("train", "gradients"):
        if name in edge.manager.methods:
            done = recomputed(
                edge.manager.exported_program(name),
                command.export.recompute,
                gradients_stay=name == "gradients" or edge.joint.optimizer is None,
            )
            notes.append(f"{name}: {done}")
    return replace(edge, notes=(*edge.notes, *notes))


def recomputed(program: ExportedProgram, policy: str, *, gradients_stay: bool) -> Recomputed:
    """Rewrites a joint graph in edge dialect, in place.

    Functions of weights alone are always made again: they cost little and have the size of weights.

    Args:
        policy: as `export.recompute`.
        gradients_stay: gradients live until the end of the step.
    """
    tape = make_tape(program, gradients_stay=gradients_stay)
    before = choose(tape, tape.maker.keys())
    if policy in _CHOICES:
        choice = _CHOICES[policy](tape)
    else:
        choice = within(tape, parse_bytes(policy.removeprefix("budget:")))
    operators = replay(program, tape, choice.kept)
    return Recomputed(
        operators=operators,
        extra_macs=choice.schedule.repeated / max(tape.macs, 1),
        peak_before=before.schedule.peak,
        peak_after=choice.schedule.peak,
    )
