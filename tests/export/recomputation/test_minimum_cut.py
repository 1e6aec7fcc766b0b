"""Minimum cuts against all cuts there are."""

from __future__ import annotations

import itertools
import random

import pytest

from edgetrain.export.recomputation.minimum_cut import INFINITE, Network


def cut_of(edges: list[tuple[int, int, int]], behind: set[int]) -> int:
    return sum(capacity for a, b, capacity in edges if a not in behind and b in behind)


@pytest.mark.parametrize("seed", range(20))
def test_no_cut_is_smaller(seed: int) -> None:
    draw = random.Random(seed)
    nodes = range(7)
    edges = [
        (a, b, draw.choice([0, 1, 2, 5, 9]))
        for a, b in itertools.permutations(nodes, 2)
        if draw.random() < 0.4
    ]
    network = Network()
    for edge in edges:
        network.connect(*edge)
    found = network.behind_the_cut()
    assert 1 in found
    assert 0 not in found
    cuts = {
        chosen: cut_of(edges, {1, *chosen})
        for n in range(6)
        for chosen in itertools.combinations(range(2, 7), n)
    }
    least = min(cuts.values())
    assert cut_of(edges, found) == least
    assert len(found) == 1 + min(len(chosen) for chosen, cut in cuts.items() if cut == least), "nearest to 1"


def test_edges_that_no_cut_may_cross() -> None:
    network = Network()
    network.connect(0, 2, INFINITE)
    network.connect(2, 3, 7)
    network.connect(3, 4, INFINITE)
    network.connect(4, 5, 8)
    network.connect(5, 1, INFINITE)
    assert network.behind_the_cut() == {1, 3, 4, 5}
