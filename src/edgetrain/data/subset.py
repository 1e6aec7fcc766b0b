"""Which samples are used: held-out parts, balanced subsets, chosen classes."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor

from ..reporting import Reporter
from .seeds import generator_for


def hold_out(targets: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Splits samples at random into a training and a test part, class by class where there are labels.

    Args:
        targets: int64 [N] labels, or float32 [N, ...].
        fraction: share of the test part; rounded up to whole samples.
    Returns:
        sorted positions, int64, of the training and of the test part. Each class keeps at least one
        training sample, and the test part may be empty where there are very few.
    """
    wanted = math.ceil(fraction * len(targets))
    if targets.dtype == torch.int64 and targets.dim() == 1:
        groups = [torch.nonzero(targets == label).flatten() for label in targets.unique()]
    else:
        groups = [torch.arange(len(targets))]
    test = torch.zeros(len(targets), dtype=torch.bool)
    for number, (rows, count) in enumerate(zip(groups, _shares(groups, wanted), strict=True)):
        order = torch.randperm(len(rows), generator=generator_for(seed, "hold out", number))
        test[rows[order[:count]]] = True
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


def choose_classes(targets: Tensor, labels: Collection[int]) -> Tensor:
    """Sorted positions, int64, of the samples whose label (targets: int64 [N]) is one of `labels`."""
    return torch.nonzero(torch.isin(targets, torch.tensor(sorted(labels)))).flatten()


def balance(
    targets: Tensor, classes: list[str], labels: Collection[int], per_class: int, seed: int, split: str
) -> tuple[Tensor, list[str]]:
    """Chooses the same number of samples of each class; a smaller subset is part of a larger one.

    Args:
        targets: int64 [N].
        labels: the classes to choose from.
        split: `train` or `test`; both draw differently.
    Returns:
        sorted positions, int64, and one sentence per class with fewer samples than asked for.
    """
    chosen: list[Tensor] = []
    short: list[str] = []
    for label in sorted(labels):
        rows = torch.nonzero(targets == label).flatten()
        if len(rows) < per_class:
            short.append(
                f"class '{classes[label]}' has {len(rows)} {split} samples, fewer than the {per_class} "
                "asked for; all of them are used"
            )
        order = torch.randperm(len(rows), generator=generator_for(seed, "balance", split, label))
        chosen.append(rows[order[:per_class]])
    return torch.cat(chosen).sort().values, short


def warn_all(reporter: Reporter, warnings: list[str]) -> None:
    """Passes each warning on."""
    for warning in warnings:
        reporter.warn(warning)
