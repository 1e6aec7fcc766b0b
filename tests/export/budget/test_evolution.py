"""The search, against trying all sets."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgetrain.export.budget.evolution import best_set
from edgetrain.export.budget.memory_model import MemoryModel

LAYERS, OPTIONS = 5, 4


def problem(seed: int) -> tuple[MemoryModel, np.ndarray]:
    """A random model of the memory, and gains; more of a layer takes more and gains more."""
    random = np.random.default_rng(seed)
    share = np.array([0.0, 0.1, 0.5, 1.0])
    weights = random.uniform(10, 1000, (LAYERS, 1))
    inputs = random.uniform(10, 1000, LAYERS)
    model = MemoryModel(
        input=inputs,
        output=np.append(inputs[1:], 10.0),
        changing=2 * weights * share,
        saved=inputs[:, None] * (share > 0.1),
        gradient=weights * share,
        split=(share == 0.5) & np.ones((LAYERS, 1), bool),
        trains=(share > 0) & np.ones((LAYERS, 1), bool),
    )
    gains = np.cumsum(random.uniform(0, 1, (LAYERS, OPTIONS)) * (share > 0), axis=1)
    return model, gains / gains[:, -1].sum()


def exhaustive(model: MemoryModel, gains: np.ndarray, budget: float) -> float:
    """The most that any set within the budget gains."""
    sets = np.array(list(itertools.product(range(OPTIONS), repeat=LAYERS)))[1:]
    gained = gains[np.arange(LAYERS), sets].sum(1)
    return float(gained[model.predict(sets) <= budget].max())


@pytest.mark.parametrize("seed", range(4))
def test_finds_the_best_of_all_sets(seed: int) -> None:
    model, gains = problem(seed)
    full = int(model.predict(np.full((1, LAYERS), OPTIONS - 1))[0])
    before = 0.0
    for share in (0.5, 0.7, 0.9, 1.0):
        found = best_set(model, gains, round(share * full), [OPTIONS] * LAYERS, kept={})
        assert found is not None
        assert found == best_set(model, gains, round(share * full), [OPTIONS] * LAYERS, kept={})
        gained = gains[np.arange(LAYERS), list(found)].sum()
        assert gained >= 0.99 * exhaustive(model, gains, share * full)
        assert gained >= before
        before = gained


def test_what_it_is_held_to() -> None:
    model, gains = problem(0)
    counts, much = [OPTIONS] * LAYERS, 10**6
    everything = (OPTIONS - 1,) * LAYERS
    assert best_set(model, gains, much, counts, kept={}) == everything
    assert best_set(model, gains, much, counts, kept={4: 1}) == (*everything[:-1], 1)
    assert best_set(model, gains, much, [OPTIONS, 1, *counts[2:]], kept={}) == (3, 0, 3, 3, 3)
    other = best_set(model, gains, much, counts, kept={}, refused={everything})
    assert other is not None
    assert sum(a != b for a, b in zip(other, everything, strict=True)) == 1
    late = best_set(model, gains, much, counts, kept={}, least_first=3)
    assert late == (0, 0, 0, 3, 3)
    assert best_set(model, gains, 1, counts, kept={}) is None


def test_what_was_planned_corrects_the_model() -> None:
    model, (chain, _) = problem(1)[0], problem(1)

    def bare(*options: int) -> float:
        return float(chain.predict(np.array([options]))[0])

    model.learn([0, 0, 0, 0, 3], round(bare(0, 0, 0, 0, 3) + 100))
    model.learn([3, 0, 0, 0, 3], round(bare(3, 0, 0, 0, 3) + 500))
    found = model.predict(np.array([[3, 0, 0, 0, 3], [0, 0, 3, 0, 3], [0, 0, 0, 0, 1]]))
    expected = [bare(3, 0, 0, 0, 3) + 500, bare(0, 0, 3, 0, 3) + 300, bare(0, 0, 0, 0, 1) + 100]
    assert found.tolist() == pytest.approx(expected, abs=2)
