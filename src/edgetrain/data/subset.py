"""Which samples are used: held-out parts, balanced subsets, chosen classes."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor

from ..reporting import Reporter
from .seeds import generator_for


def hold_out(count: int, labels: Tensor | None, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Splits samples at random into a training and a test part, class by class where there are labels.

    Args:
        count: N samples.
        labels: int64 [N], where each has one.
        fraction: share of the test part; rounded up to whole samples.
    Returns:
        sorted positions, int64, of the training and of the test part. Each class keeps at least one
        training sample, and the test part may be empty where there are very few.
    """
    wanted = math.ceil(fraction * count)
    if labels is None:
        groups = [torch.arange(count)]
    else:
        groups = [torch.nonzero(labels == label).flatten() for label in labels.unique()]
    test = torch.zeros(count, dtype=torch.bool)
    for number, (rows, taken) in enumerate(zip(groups, _shares(groups, wanted), strict=True)):
        order = torch.randperm(len(rows), generator=generator_for(seed, "hold out", number))
        test[rows[order[:taken]]] = True
    return torch.nonzero(~test).flatten(), torch.nonzero(test).flatten()


def _shares(groups: list[Tensor], wanted: int) -> list[int]:
    """How many of each group to take so that the shares are even and sum to `wanted`, leaving one each."""
    total = sum(len(rows) for rows in groups)
    exact = [len(rows) * wanted / total for rows in groups]
    counts = [math.floor(share) for share in exact]
    by_remainder = sorted(range(len(groups)), key=lambda i: (counts[i] - exact[i], i))
    for i in by_remainder[: wanted - sum(counts)]:
        counts[i] += 1
    return [min(count, len(rows) - 1) for count, rows in zip(counts, groups, strict=True)]


def choose_classes(labels: Tensor, chosen: Collection[int]) -> Tensor:
    """Sorted positions, int64, of the samples whose label (int64 [N]) is one of those chosen."""
    return torch.nonzero(torch.isin(labels, torch.tensor(sorted(chosen)))).flatten()


def balance(
    labels: Tensor, classes: list[str], chosen: Collection[int], per_class: int, seed: int, split: str
) -> tuple[Tensor, list[str]]:
    """Chooses the same number of samples of each class; a smaller subset is part of a larger one.

    Args:
        labels: int64 [N].
        classes: names by label.
        chosen: the labels to choose from.
        split: `train` or `test`; both draw differently.
    Returns:
        sorted positions, int64, and one sentence per class with fewer samples than asked for.
    """
    taken: list[Tensor] = []
    short: list[str] = []
    for label in sorted(chosen):
        rows = torch.nonzero(labels == label).flatten()
        if len(rows) < per_class:
            short.append(
                f"class '{classes[label]}' has {len(rows)} {split} samples, fewer than the {per_class} "
                "asked for; all of them are used"
            )
        order = torch.randperm(len(rows), generator=generator_for(seed, "balance", split, label))
        taken.append(rows[order[:per_class]])
    return torch.cat(taken).sort().values, short


def warn_all(reporter: Reporter, warnings: list[str]) -> None:
    """Passes each warning on."""
    for warning in warnings:
        reporter.warn(warning)
