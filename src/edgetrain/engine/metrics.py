"""Loss and accuracy as means over samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..artifacts.specs import Task


def count_correct(task: Task, predictions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor | None:
    """How many samples of a batch are right.

    Args:
        predictions: as `predict_from_logits` gives them.
        targets: int64 [B] (cross_entropy) or float32 [B, ...].
    Returns:
        float32 scalar: right samples; with several labels per sample (bce_with_logits) a sample counts by its
        share of right labels. None for a regression.
    """
    if not task.has_accuracy:
        return None
    right = predictions == (targets if task.loss == "cross_entropy" else targets > 0.5)
    return right.float().sum() * (len(targets) / max(1, right.numel()))


@dataclass
class Meter:
    """Running sums over samples. Accuracy stays None until a batch brings one."""

    loss_sum: float = 0.0
    correct: float | None = None
    samples: int = 0

    def add(self, loss: float, correct: float | None, samples: int) -> None:
        """Adds a batch: its mean loss, its right samples (None for a regression) and its size."""
        if samples == 0:
            return
        self.loss_sum += loss * samples
        self.samples += samples
        if correct is not None:
            self.correct = (self.correct or 0.0) + correct

    @property
    def loss(self) -> float:
        """Mean loss per sample; NaN before the first one."""
        return self.loss_sum / self.samples if self.samples else float("nan")

    @property
    def accuracy(self) -> float | None:
        """Share of right samples, 0..1."""
        return None if self.correct is None or not self.samples else self.correct / self.samples
