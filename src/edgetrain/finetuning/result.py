"""What a run leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..artifacts.history import History


@dataclass(frozen=True)
class Evaluation:
    """How good the weights are on the test split.

    Attributes:
        figures: every metric of the task by name, the loss first; None where it can't be told.
    """

    figures: dict[str, float | None]

    @property
    def loss(self) -> float:
        """NaN where nothing was evaluated."""
        loss = self.figures.get("loss")
        return float("nan") if loss is None else loss


@dataclass(frozen=True)
class FinetuneResult:
    """What a run left behind.

    Attributes:
        weights: the tuned .ptd (or .pte, where weights are inline).
        state_path: what `--resume` goes on from.
        checkpoint: the .pth the tuned weights were folded into, if asked for.
        before, after: validation with the first weights of the run and with those that were kept.
    """

    weights: Path
    history_path: Path
    history: History
    state_path: Path
    checkpoint: Path | None
    before: Evaluation | None
    after: Evaluation
