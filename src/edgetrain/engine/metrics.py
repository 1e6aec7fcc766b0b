"""Metrics of a run: sums that batches bring, added up, and the figures made of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..artifacts.contract import Metric

Figures = dict[str, float | None]


@dataclass
class Meter:
    """Sums over batches.

    Attributes:
        sums: by name, as `train` and `evaluate` return them; one number or one per class.
        samples: how many samples they are of.
    """

    sums: dict[str, list[float]] = field(default_factory=dict)
    samples: int = 0

    def add(self, sums: Mapping[str, Tensor], samples: int) -> None:
        """Adds a batch: scalars or vectors by name, and its size. A batch of 0 samples counts for nothing."""
        if samples == 0:
            return
        self.samples += samples
        for name, tensor in sums.items():
            values = tensor.detach().to(torch.float64).flatten().tolist()
            before = self.sums.get(name, [0.0] * len(values))
            self.sums[name] = [a + b for a, b in zip(before, values, strict=True)]

    def figures(self, metrics: Sequence[Metric]) -> Figures:
        """The metrics of all batches so far, by name; NaN before the first one."""
        return {metric.name: self.figure(metric) for metric in metrics}

    def figure(self, metric: Metric) -> float:
        """One of them."""
        top = self.sums.get(metric.top, [math.nan])
        bottom = self.sums.get(metric.bottom, [0.0])
        ratios = [t / b for t, b in zip(top, bottom, strict=True) if b]
        if not ratios:
            return math.nan
        if metric.kind == "exp_mean":
            return math.exp(ratios[0]) if ratios[0] < 700 else math.inf
        return sum(ratios) / len(ratios)


def score(figures: Mapping[str, float | None], metrics: Sequence[Metric], best: Sequence[str]) -> list[float]:
    """What says which of two epochs is better, as a list to compare: greater is better.

    Args:
        best: names of the metrics that decide, the most important first.
    """
    by_name = {metric.name: metric for metric in metrics}

    def value(name: str) -> float:
        found = figures.get(name)
        if found is None or math.isnan(found):
            return -math.inf
        return found if by_name[name].better == "higher" else -found

    return [value(name) for name in best]
