"""The time that work will take yet."""

from __future__ import annotations

import pytest

from edgetrain.cli.time_left import TimeLeft
from edgetrain.reporting import Piece


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_equal_steps(clock):
    left = TimeLeft(10, clock)
    assert left.seconds() is None, "nothing is known yet"
    clock.now += 2
    left.advance()
    assert left.seconds() == pytest.approx(18)
    clock.now += 1  # half of the second step
    assert left.seconds() == pytest.approx(17)
    clock.now += 5  # longer than it should take
    assert left.seconds() == pytest.approx(16)
    left.advance(9)
    assert (left.share, left.seconds()) == (1.0, 0.0)


def test_unknown_totals(clock):
    left = TimeLeft(None, clock)
    left.advance()
    assert (left.share, left.seconds()) == (0.0, None)


def test_parts_of_other_kinds_take_other_times(clock):
    """What weights say of two kinds is forgotten once both have been seen."""
    left = TimeLeft([Piece("train", 3), Piece("validate", 1)] * 4, clock)
    clock.now += 30
    left.advance()
    assert left.seconds() == pytest.approx(10 + 3 * 40), "by the weights"
    clock.now += 2
    left.advance()
    assert left.seconds() == pytest.approx(3 * 32), "as it was measured"
    clock.now += 30
    left.advance()
    clock.now += 2
    left.advance()
    assert left.seconds() == pytest.approx(2 * 32)
    assert left.share == pytest.approx(0.5)


def test_a_bar_inside_tells_of_the_part_at_hand(clock):
    outer = TimeLeft([Piece("train", 3), Piece("validate", 1)], clock)
    inner = TimeLeft(10, clock)
    outer.contain(inner)
    clock.now += 3
    inner.advance(2)
    assert inner.seconds() == pytest.approx(12)
    assert outer.seconds() == pytest.approx(12 + 5)
    assert outer.share == pytest.approx(0.2 * 3 / 4)
    clock.now += 12
    inner.advance(8)
    assert outer.share == pytest.approx(3 / 4)
    outer.contain(TimeLeft(4, clock))
    assert outer.share == pytest.approx(3 / 4), "a further bar in the same part takes nothing back"
    outer.advance()
    assert outer.seconds() == pytest.approx(5)


def test_steps_that_are_told_together(clock):
    left = TimeLeft([Piece("a"), Piece("b", 3), Piece("a")], clock)
    clock.now += 8
    left.advance(2)
    assert left.seconds() == pytest.approx(2)
    left.advance(0)
    assert left.seconds() == pytest.approx(2)
