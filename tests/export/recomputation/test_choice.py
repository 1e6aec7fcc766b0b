"""Choices on tapes small enough to try all of them."""

from __future__ import annotations

import itertools

import pytest
from tapes import chain, operation, tape

from edgetrain.export.recomputation.choice import all_kept, blocks_again, cheap_again, choose, within


def test_all_is_kept_unless_asked() -> None:
    assert all_kept(chain(6)).kept == {1, 2, 3, 4, 5, 6}


def test_cheap_operators_are_called_again_from_the_least_there_is() -> None:
    # Twice a product and a cheap function of it; backward reads all of them.
    forward = [
        operation([0], 1, macs=50),
        operation([1], 2, cheap=True),
        operation([2], 3, macs=50),
        operation([3], 4, cheap=True),
        operation([4], 5),
    ]
    backward = [operation([4], 6), operation([3], 7), operation([2], 8), operation([1], 9)]
    graph = tape([10, 1000, 1000, 1000, 1000, 1, 1, 1, 1, 1], forward, backward)
    found = cheap_again(graph)
    assert found.kept == {1, 3, 4, 5}, "beside 3, 4 is kept at no cost: backward begins with it"
    assert found.schedule.peak < all_kept(graph).schedule.peak
    assert found.schedule.repeated == 0


def test_no_product_is_called_again_where_only_cheap_ones_may() -> None:
    assert cheap_again(chain(6)).kept == all_kept(chain(6)).kept


@pytest.mark.parametrize("layers", [4, 6, 9, 12])
def test_checkpoints_make_memory_least(layers: int) -> None:
    graph = chain(layers)
    found = blocks_again(graph)
    storages = range(1, layers)
    least = min(
        choose(graph, set(kept)).schedule.peak
        for n in range(layers)
        for kept in itertools.combinations(storages, n)
    )
    assert found.schedule.peak == least
    assert found.schedule.peak < all_kept(graph).schedule.peak


def test_what_is_random_is_kept() -> None:
    graph = chain(8, random=2)
    assert 3 in blocks_again(graph).kept


@pytest.mark.parametrize("budget", [300, 350, 450, 600])
def test_a_budget_costs_as_little_as_it_can(budget: int) -> None:
    graph = chain(9)
    found = within(graph, budget)
    assert found.schedule.peak <= budget
    fitting = [
        choice.schedule.repeated
        for n in range(9)
        for kept in itertools.combinations(range(1, 9), n)
        if (choice := choose(graph, set(kept))).schedule.peak <= budget
    ]
    assert found.schedule.repeated == min(fitting)


def test_a_budget_out_of_reach_gives_the_least_there_is() -> None:
    assert within(chain(9), 5).schedule.peak == blocks_again(chain(9)).schedule.peak
