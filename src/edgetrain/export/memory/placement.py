"""Where tensors lie in one arena: offsets of intervals of time, in an arena as small as these allow.

Nothing here knows graphs or ExecuTorch.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

# How much is searched where no fixed order reaches the bound: pairs of tensors looked at, a second or two per
# ten million. Counts, not times, so that the same tensors get the same places on every machine.
_SEARCHED_PAIRS = 10_000_000
_TRIES = 5000
# An arena that is higher than the bound by no more than one part in so many: a tenth of the search will do.
_NEAR = 256
# How much higher than before an arena may be at first in the search, as a share of what is above the bound.
_HEAT = 0.2
# Tensors below one part in so many of the bound are small: they are placed in the gaps between the others.
_SMALL = 4000


class Interval(NamedTuple):
    """A tensor's memory: `size` bytes from step `start` to step `end`, both included."""

    start: int
    end: int
    size: int


@dataclass(frozen=True)
class Placement:
    """Where each interval lies.

    Attributes:
        offsets: in the order of the intervals [bytes].
        height: bytes of the arena.
    """

    offsets: list[int]
    height: int


def live_bytes(intervals: Iterable[Interval]) -> list[int]:
    """Bytes that live at each step, from step 0 to the last one anything lives at."""
    changes: dict[int, int] = {}
    for start, end, size in intervals:
        changes[start] = changes.get(start, 0) + size
        changes[end + 1] = changes.get(end + 1, 0) - size
    return list(accumulate(changes.get(step, 0) for step in range(max(changes, default=0))))


def lower_bound(intervals: Iterable[Interval]) -> int:
    """What no arena can be smaller than: the most bytes that live at once."""
    return max(live_bytes(intervals), default=0)


def place(intervals: Sequence[Interval]) -> Placement:
    """Looks for offsets at which the arena is no higher than the lower bound. Equal times never share bytes.

    First fit in several orders finds them nearly always; where it doesn't, the order is changed step by step
    as in simulated annealing, always the same steps for the same intervals. Large intervals are placed by
    themselves, and the many small ones around them.
    """
    bound = lower_bound(intervals)
    packing = _Packing(intervals)
    large = [i for i, it in enumerate(intervals) if it.size * _SMALL >= bound]
    small = sorted(set(range(len(intervals))) - set(large))
    placed = packing.fit(large, lower_bound(intervals[i] for i in large), Placement([-1] * len(intervals), 0))
    return packing.fit(small, bound, placed)


# What is placed first: what is large, what takes most of space and time together, what lives longest.
_ORDERS: tuple[Callable[[Interval], tuple[int, ...]], ...] = (
    lambda it: (-it.size, it.start),
    lambda it: (-it.size, -it.end),
    lambda it: (-it.size * (it.end - it.start + 1),),
    lambda it: (it.start - it.end, -it.size),
    lambda it: (it.start, -it.size),
    lambda it: (-it.end, -it.size),
)


class _Packing:
    """First fit of intervals, with what conflicts worked out once."""

    def __init__(self, intervals: Sequence[Interval]) -> None:
        self.intervals = intervals
        self.sizes = [it.size for it in intervals]
        self.conflicts: list[list[int]] = [[] for _ in intervals]
        living: list[int] = []
        for i in sorted(range(len(intervals)), key=lambda i: intervals[i].start):
            living = [j for j in living if intervals[j].end >= intervals[i].start]
            for j in living:
                self.conflicts[i].append(j)
                self.conflicts[j].append(i)
            living.append(i)

    def fit(self, chosen: Sequence[int], bound: int, start: Placement) -> Placement:
        """Places some intervals beside those that lie already, if possible no higher than the bound."""
        orders = [[i for _, i in sorted((key(self.intervals[i]), i) for i in chosen)] for key in _ORDERS]
        placed = [self.first_fit(order, start) for order in orders]
        best = min(range(len(orders)), key=lambda tried: placed[tried].height)
        if placed[best].height <= bound or not chosen:
            return placed[best]
        return self._searched(orders[best], bound, start)

    def first_fit(self, order: Iterable[int], start: Placement, enough: int | None = None) -> Placement:
        """Each interval at the lowest offset that is free all the time it lives.

        Args:
            order: of placing.
            start: what lies already; offset -1 says that something doesn't.
            enough: gives up at an arena higher than this, which is what it then returns.
        """
        offsets, height = list(start.offsets), start.height
        for i in order:
            size, at = self.sizes[i], 0
            taken = [(offsets[j], offsets[j] + self.sizes[j]) for j in self.conflicts[i] if offsets[j] >= 0]
            taken.sort()
            for bottom, top in taken:
                if bottom - at >= size:
                    break
                at = max(at, top)
            offsets[i] = at
            height = max(height, at + size)
            if enough is not None and height > enough:
                break
        return Placement(offsets, height)

    def _only(self, chosen: Sequence[int], placed: Placement, start: Placement) -> Placement:
        """Of what is placed, some intervals, beside those that lay there from the start."""
        offsets, height = list(start.offsets), start.height
        for i in chosen:
            offsets[i] = placed.offsets[i]
            height = max(height, offsets[i] + self.sizes[i])
        return Placement(offsets, height)

    def _searched(self, order: list[int], bound: int, start: Placement) -> Placement:
        """Changes an order of placing until its arena reaches the bound or the search has cost enough.

        What sticks out above the bound is placed earlier, or two intervals change turns. A worse order is
        kept with a chance that falls to nothing, as in simulated annealing.
        """
        chance = random.Random(0)
        best = current = self.first_fit(order, start)
        heat = _HEAT * (current.height - bound)
        tries = min(_TRIES, _SEARCHED_PAIRS // sum(1 + len(self.conflicts[i]) for i in order))
        if current.height - bound <= bound // _NEAR:
            tries //= 10
        for tried in range(tries):
            changed = list(order)
            above = [at for at, i in enumerate(order) if current.offsets[i] + self.sizes[i] > bound]
            if above and chance.random() < 0.5:
                at = chance.choice(above)
                other = chance.randrange(at + 1)
                changed.insert(other, changed.pop(at))
            else:
                at, other = chance.randrange(len(order)), chance.randrange(len(order))
                changed[at], changed[other] = changed[other], changed[at]
            allowed = current.height - int(heat * (1 - tried / tries) * math.log(1 - chance.random()))
            # What comes before the change lies where it lay.
            same = min(at, other)
            found = self.first_fit(changed[same:], self._only(order[:same], current, start), enough=allowed)
            if found.height > allowed:
                continue
            order, current = changed, found
            if found.height < best.height:
                best = found
                if best.height <= bound:
                    break
        return best
