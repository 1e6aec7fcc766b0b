"""The one rule by which computed numbers are compared with what they should be: verification, `bench`,
`check` and the tests have it from here. NaN never compares well.

The judge is float64. A quantity is wrong if it is further from what float64 gives than the larger of

- the tolerance, as a share of the size of what the quantity is made of, and
- three times eager float32's own distance from float64, since nobody asks for more than PyTorch has.

What it is made of is the quantity itself, unless its terms cancel. The gradient of a bias in front of a
normalisation is zero but for rounding: the sum of many numbers that are none. The size of the terms is that
of a sum with random signs, sqrt(sum of squares), which is about what a sum is that doesn't cancel;
`engine/terms.py` measures it. A relative error of such a gradient says nothing, its error in units of its
terms does: a wrong one is as large as any other gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

# How much further than eager float32 a result may be from float64.
OWN_ERRORS = 3.0
_LEAST = 1e-30


@dataclass(frozen=True)
class Truth:
    """What a quantity should be.

    Attributes:
        exact: in float64.
        own: how far eager float32 is from it, in the 2-norm.
        terms: size of the terms it is the sum of, in the same unit; 0 where that is not known.
    """

    exact: Tensor
    own: float = 0.0
    terms: float = 0.0

    @property
    def scale(self) -> float:
        """Size of what the quantity is made of."""
        return max(norm(self.exact), self.terms, _LEAST)

    @property
    def own_error(self) -> float:
        """Eager float32's, in units of the scale."""
        return self.own / self.scale

    def error(self, found: Tensor) -> float:
        """2-norm of the difference, in units of the scale."""
        return distance(found, self.exact) / self.scale

    def allowed(self, tolerance: float) -> float:
        """The largest error that isn't wrong."""
        return max(tolerance, OWN_ERRORS * self.own_error)

    def judged(self, found: Tensor, tolerance: float) -> float:
        """The error as a share of what is allowed, times the tolerance: what is right is at most that."""
        return self.error(found) * tolerance / self.allowed(tolerance)


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
    return distance(found, expected) / max(norm(expected), _LEAST)
