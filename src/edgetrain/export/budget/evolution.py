"""The best set of options under a budget, by an evolutionary search (as MCUNetV3, arXiv 2206.15472, does)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .memory_model import Floats, MemoryModel, Sets

_POPULATION = 128
_ELITE = 16
_GENERATIONS = 150
# What a byte counts against a gain: only where two sets gain the same.
_THRIFT = 1e-6


def best_set(
    model: MemoryModel,
    gains: Floats,
    budget: int,
    counts: Sequence[int],
    *,
    kept: Mapping[int, int],
    refused: Collection[tuple[int, ...]] = (),
    least_first: int = 0,
    seed: int = 0,
) -> tuple[int, ...] | None:
    """The set that gains most and takes no more than the budget, as predicted.

    Args:
        gains: of every option, as shares of all there is to gain [layers, options].
        counts: how many options each layer has, the first of which leaves it frozen.
        kept: options by layer that are settled.
        refused: sets that are out of the question.
        least_first: no layer before this one is trained.
    Returns:
        numbers of options by layer; None where none is within the budget.
    """
    search = _Search(model, gains, budget, set(refused), least_first)
    random = np.random.default_rng(seed)
    most, settled = np.array(counts), np.array(sorted(kept), np.int64)
    options = np.array([kept[layer] for layer in sorted(kept)], np.int64)
    # Every last so many layers whole, and from there on at random.
    suffixes = np.array([np.where(np.arange(len(most)) >= at, most - 1, 0) for at in range(len(most) + 1)])
    population = np.concatenate([suffixes, random.integers(0, most, (_POPULATION, len(most)))])
    population[:, settled] = options
    for _ in range(_GENERATIONS):
        order = np.argsort(-search.scores(population), kind="stable")
        parents = population[order[:_POPULATION]]
        # Ranks decide: the better of two is a parent.
        mothers, fathers = (
            parents[random.integers(0, len(parents), (2, _POPULATION)).min(0)] for _ in range(2)
        )
        children = np.where(random.random(mothers.shape) < 0.5, mothers, fathers)
        changed = random.random(children.shape) < max(1.5 / len(most), 0.05)
        children = np.where(changed, random.integers(0, most, children.shape), children)
        children[:, settled] = options
        population = np.concatenate([parents[:_ELITE], children])
    best = population[search.scores(population).argmax()]
    best = search.climb(best, np.array([0 if layer in kept else n for layer, n in enumerate(counts)]))
    return tuple(map(int, best)) if search.fits(best[None])[0] else None


class _Search:
    """Scores sets.

    Args:
        as of `best_set`.
    """

    def __init__(
        self,
        model: MemoryModel,
        gains: Floats,
        budget: int,
        refused: set[tuple[int, ...]],
        least_first: int,
    ) -> None:
        self.model, self.gains, self.budget = model, gains, budget
        self.refused, self.least_first = refused, least_first

    def fits(self, sets: Sets) -> NDArray[np.bool_]:
        """Whether sets train something within the budget [P]."""
        first = self.model.first(sets)
        known = np.array([tuple(map(int, row)) in self.refused for row in sets])
        possible = (first >= self.least_first) & (first < sets.shape[1]) & ~known
        return np.asarray(possible & (self.model.predict(sets) <= self.budget))

    def scores(self, sets: Sets) -> Floats:
        """Gain of sets that fit; of others, the less negative the nearer they are [P]."""
        bytes_ = self.model.predict(sets)
        gained = self.gains[np.arange(sets.shape[1]), sets].sum(1)
        above = np.maximum(bytes_ / self.budget - 1, 0)
        return np.where(self.fits(sets), gained - _THRIFT * bytes_ / self.budget, -1 - above)

    def climb(self, best: NDArray[np.int64], most: NDArray[np.int64]) -> NDArray[np.int64]:
        """Changes one layer at a time for as long as that makes a set better.

        Args:
            most: how many options are tried of each layer.
        """
        while True:
            near = np.repeat(best[None], int(most.sum()) + 1, axis=0)
            layers = np.repeat(np.arange(len(most)), most)
            near[np.arange(1, len(near)), layers] = np.concatenate([np.arange(n) for n in most])
            at = int(self.scores(near).argmax())
            if at == 0:
                return best
            best = near[at]
