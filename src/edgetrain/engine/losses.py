"""Losses, and predictions from a model's outputs. Both are captured in exported graphs."""

from __future__ import annotations

import torch
from torch import nn

from ..artifacts.specs import Task


def make_loss(task: Task) -> nn.Module:
    """The loss of a task as a module: (outputs, targets) → float32 scalar, the mean over the batch.

    cross_entropy takes logits [B, K] and int64 targets [B]; the others take outputs and float32 targets of
    one shape [B, ...], bce_with_logits with targets in 0..1.
    """
    if task.loss == "cross_entropy":
        return nn.CrossEntropyLoss(label_smoothing=task.label_smoothing)
    if task.loss == "bce_with_logits":
        return nn.BCEWithLogitsLoss()
    return nn.MSELoss() if task.loss == "mse" else nn.L1Loss()


def predict_from_logits(task: Task, logits: torch.Tensor) -> torch.Tensor:
    """What the model's outputs mean.

    Args:
        logits: the model's outputs, float32 [B, K] (cross_entropy) or [B, ...].
    Returns:
        class indices, int64 [B] (cross_entropy); whether each label applies, bool [B, ...] (bce_with_logits);
        the outputs themselves otherwise.
    """
    if task.loss == "cross_entropy":
        return torch.argmax(logits, dim=1)
    return logits > 0 if task.loss == "bce_with_logits" else logits
