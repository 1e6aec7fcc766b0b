"""Offsets of intervals: never two in one place at one time, and no higher than need be."""

from __future__ import annotations

import random

import pytest

from edgetrain.export.memory import placement
from edgetrain.export.memory.placement import Interval, Placement, live_bytes, lower_bound, place


def assert_apart(intervals: list[Interval], placed: Placement) -> None:
    assert placed.height == max(
        (at + it.size for at, it in zip(placed.offsets, intervals, strict=True)), default=0
    )
    for i, (a, at) in enumerate(zip(intervals, placed.offsets, strict=True)):
        assert at >= 0
        for b, other in zip(intervals[:i], placed.offsets[:i], strict=True):
            if a.start <= b.end and b.start <= a.end:
                assert at + a.size <= other or other + b.size <= at, f"{a} at {at} over {b} at {other}"


def random_intervals(seed: int, count: int = 150) -> list[Interval]:
    chance = random.Random(seed)
    starts = [chance.randrange(200) for _ in range(count)]
    return [
        Interval(start, start + int(chance.expovariate(1 / 20)), 16 * int(chance.paretovariate(0.8)))
        for start in starts
    ]


def test_live_bytes() -> None:
    assert live_bytes([Interval(0, 1, 16), Interval(1, 3, 32)]) == [16, 48, 32, 32]
    assert live_bytes([]) == []


@pytest.mark.parametrize("seed", range(20))
def test_random_intervals(seed: int) -> None:
    intervals = random_intervals(seed)
    placed = place(intervals)
    assert_apart(intervals, placed)
    assert lower_bound(intervals) <= placed.height <= 1.02 * lower_bound(intervals), f"seed {seed}"
    assert all(at % 16 == 0 for at in placed.offsets)
    assert place(intervals) == placed, "the same places each time"


@pytest.mark.parametrize(
    "intervals",
    [
        [],
        [Interval(0, 5, 0), Interval(0, 5, 0)],
        [Interval(0, 9, 48)],
        # One after the other in one place.
        [Interval(i, i, 16) for i in range(10)],
        # What is saved for backward is freed in the opposite order.
        [Interval(i, 19 - i, 16 * (i + 1)) for i in range(10)],
        # By size alone, the two of 32 bytes would lie at the bottom and leave no room for the third.
        [Interval(0, 1, 32), Interval(1, 2, 16), Interval(2, 3, 32), Interval(0, 3, 16)],
    ],
    ids=["none", "empty", "one", "chain", "nested", "between"],
)
def test_the_bound_is_reached(intervals: list[Interval]) -> None:
    placed = place(intervals)
    assert_apart(intervals, placed)
    assert placed.height == lower_bound(intervals)


def test_the_search_reaches_what_no_fixed_order_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors cut at random out of a full arena: there is a placement without any waste, by construction."""
    chance = random.Random(2)
    blocks = [(0, 63, 0, 64)]
    for _ in range(60):
        start, end, bottom, top = blocks.pop(chance.randrange(len(blocks)))
        if chance.random() < 0.5 and end > start:
            cut = chance.randrange(start, end)
            blocks += [(start, cut, bottom, top), (cut + 1, end, bottom, top)]
        elif top - bottom > 1:
            cut = chance.randrange(bottom + 1, top)
            blocks += [(start, end, bottom, cut), (start, end, cut, top)]
        else:
            blocks.append((start, end, bottom, top))
    intervals = [Interval(start, end, 16 * (top - bottom)) for start, end, bottom, top in blocks]
    placed = place(intervals)
    assert_apart(intervals, placed)
    assert placed.height == lower_bound(intervals) == 64 * 16
    monkeypatch.setattr(placement, "_TRIES", 0)
    assert place(intervals).height > 64 * 16, "this one needs no search"
