"""Comparing computed numbers with the ones they should be. NaN never compares well."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from ..artifacts.specs import Task


def largest(values: Iterable[float]) -> float:
    """The largest of some errors, infinite where one is NaN (which Python's `max` would lose); 0 of none."""
    worst = 0.0
    for value in values:
        worst = math.inf if math.isnan(value) else max(worst, value)
    return worst


def distance(found: Tensor, expected: Tensor) -> float:
    """2-norm of the difference, in float64."""
    return (found.double() - expected.double()).norm().item()


def norm(tensor: Tensor) -> float:
    """2-norm, in float64."""
    return tensor.double().norm().item()


def relative_error(found: Tensor, expected: Tensor) -> float:
    """2-norm of the difference over that of what was expected."""
    return distance(found, expected) / max(norm(expected), 1e-30)


def prediction_error(task: Task, predictions: Tensor, logits: Tensor) -> float:
    """How far predictions are from those the logits ask for, relative to the largest logit.

    A class whose logit ties with the best is as good a prediction, so what counts is by how much the logit of
    the predicted class falls short (cross_entropy), or how far from 0 the logit of a wrong label is
    (bce_with_logits). Predictions of a regression are the outputs themselves.

    Args:
        predictions: as `predict_from_logits` gives them.
        logits: float [B, K] or [B, ...].
    """
    if not task.has_accuracy:
        return relative_error(predictions, logits)
    scale = max(logits.abs().max().item(), 1e-30)
    if task.loss == "cross_entropy":
        if not bool(((predictions >= 0) & (predictions < logits.shape[1])).all()):
            return math.inf
        chosen = logits.gather(1, predictions.unsqueeze(1)).squeeze(1)
        return (logits.max(1).values - chosen).max().item() / scale
    wrong = predictions != (logits > 0)
    return torch.where(wrong, logits.abs(), torch.zeros_like(logits)).max().item() / scale
