"""Comparing computed numbers with the ones they should be. NaN never compares well."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor


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
