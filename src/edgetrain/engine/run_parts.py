"""What a run has still to do, for the time that it will take."""

from __future__ import annotations

from ..reporting import Piece

TRAINING, VALIDATION = "training", "validation"
# Forward and backward take about as long as three forwards.
_TRAINING_PER_SAMPLE = 3.0


def run_parts(
    step: int, in_epoch: int, total: int, per_epoch: int, *, samples: int, validated: int, every: int = 1
) -> list[Piece]:
    """Training and validation in turn, from a step to the end.

    Args:
        step: steps done.
        in_epoch: those of them that the epoch at hand has done.
        total, per_epoch: steps of the run, and of an epoch.
        samples: of a step.
        validated: samples of a validation.
        every: epochs from one validation to the next; 0: there is one at the end.
    """
    parts: list[Piece] = []
    epoch = (step - in_epoch) // per_epoch
    while step < total or not parts:
        taken = min(per_epoch - in_epoch, total - step)
        step, in_epoch, epoch = step + taken, 0, epoch + 1
        parts.append(Piece(TRAINING, taken * samples * _TRAINING_PER_SAMPLE))
        if step >= total or (every and epoch % every == 0):
            parts.append(Piece(VALIDATION, validated))
    return parts
