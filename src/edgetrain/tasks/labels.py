"""Class labels in any layout: of samples, pixels or tokens."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from ..config.names import LOSSES
from ..errors import CheckFailedError, InputError


def cross_entropy(outputs: Tensor, labels: Tensor, valid: Tensor, dim: int, smoothing: float = 0.0) -> Tensor:
    """Mean cross entropy over the valid labels; 0 where there are none.

    Args:
        outputs: float32, classes along `dim`.
        labels: int64, the outputs' shape without `dim`.
        valid: float32 of the labels' shape, 1 or 0.
        smoothing: share of the target spread over all classes.
    """
    scores = functional.log_softmax(outputs, dim)
    known = labels * valid.to(torch.int64)
    loss = -scores.gather(dim, known.unsqueeze(dim)).squeeze(dim)
    if smoothing:
        loss = (1 - smoothing) * loss - smoothing * scores.mean(dim)
    return (loss * valid).sum() / valid.sum().clamp(min=1.0)


def is_valid(labels: Tensor, ignored: int | None) -> Tensor:
    """float32 of the labels' shape: 1 where a label counts."""
    if ignored is None:
        return torch.full(labels.shape, 1.0, device=labels.device)
    return (labels != ignored).to(torch.float32)


def check_labels(
    labels: Tensor,
    classes: int | None,
    where: str,
    *,
    dims: tuple[int, str],
    learner: str,
    ignored: int | None,
) -> None:
    """Checks a column of labels [N, ...].

    Args:
        classes: how many the model knows; None where that is not known.
        dims: dimensions it must have, and what that means, as in (1, "one label per sample").
        learner: who needs them so, for messages.
    Raises:
        InputError: naming the first sample that doesn't fit.
    """
    if labels.dtype != torch.int64:
        dtype = str(labels.dtype).removeprefix("torch.")
        *others, last = (name for name in LOSSES if name != "cross_entropy")
        raise InputError(
            f"{learner} needs class labels (int64), the data's targets are {dtype}; use --loss "
            f"{', '.join(others)} or {last}, or store the targets as integers"
        )
    if labels.dim() != dims[0]:
        raise InputError(
            f"{learner} needs {dims[1]}, the targets are {shape_text(labels.shape[1:])} per sample"
        )
    bad = labels < 0 if classes is None else (labels < 0) | (labels >= classes)
    if ignored is not None:
        bad &= labels != ignored
    rows = torch.nonzero(bad)
    if len(rows):
        known = "labels count from 0" if classes is None else f"the model has {classes} classes"
        known += "" if not classes else f" (labels 0 to {classes - 1})"
        label = int(labels[tuple(rows[0])])
        raise InputError(f"{where}sample {int(rows[0, 0])} has the label {label}, but {known}")


def random_labels(outputs: Tensor, dim: int, generator: torch.Generator) -> Tensor:
    """int64 labels for outputs with the classes along `dim`.

    Raises:
        CheckFailedError: there is no such dimension.
    """
    if outputs.dim() <= dim % max(outputs.dim(), 1):
        raise CheckFailedError(f"the model gives {list(outputs.shape)}, without a dimension of classes")
    shape = [length for i, length in enumerate(outputs.shape) if i != dim % outputs.dim()]
    return torch.randint(0, outputs.shape[dim], shape, generator=generator)


def label_error(predictions: Tensor, outputs: Tensor, dim: int) -> float:
    """By how much the outputs of predicted classes fall short of the best ones, relative to the largest
    output; infinite where a prediction is no class.

    Args:
        predictions: int64, the outputs' shape without `dim`.
    """
    classes = outputs.shape[dim]
    if not bool(((predictions >= 0) & (predictions < classes)).all()):
        return math.inf
    chosen = outputs.gather(dim, predictions.unsqueeze(dim)).squeeze(dim)
    return (outputs.amax(dim) - chosen).max().item() / max(outputs.abs().max().item(), 1e-30)


def count_classes(labels: Tensor, names: tuple[str, ...] | None, ignored: int | None) -> int:
    """How many classes there are: those that have names, or as many as the labels say."""
    if names:
        return len(names)
    kept = labels[labels != ignored] if ignored is not None else labels
    return int(kept.max()) + 1 if kept.numel() else 1


def shape_text(shape: torch.Size | list[int] | tuple[int, ...]) -> str:
    """`3x32x32` for (3, 32, 32)."""
    return "x".join(map(str, shape)) or "scalar"


def batch_shape(shape: list[int] | torch.Size) -> str:
    """A shape with its first dimension called B, the batch."""
    return f"[{', '.join(['B', *map(str, list(shape)[1:])])}]"
