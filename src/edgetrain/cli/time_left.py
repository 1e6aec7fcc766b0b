"""How long the work behind a bar will take yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..reporting import Piece


class TimeLeft:
    """Learns from what is done how long the rest takes: parts of a kind take time in proportion to their
    weights; kinds that haven't been seen go by the mean of all that have.

    Args:
        plan: the parts to do, or a number of equal ones; None where nobody knows.
        clock: gives seconds.
    """

    def __init__(
        self, plan: int | Sequence[Piece] | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._plan = [] if plan is None else plan
        self._count = plan if isinstance(plan, int) else len(self._plan)  # type: ignore[arg-type]
        self._done = 0
        self._since = clock()
        self._most = 0.0
        # By kind: weight done, seconds taken.
        self._seen: dict[str, tuple[float, float]] = {}
        self._inner: TimeLeft | None = None

    def advance(self, steps: int = 1) -> None:
        """Parts are done, which took the time since the last call."""
        if steps <= 0:
            return
        now = self._clock()
        finished = self._parts(self._done, self._done + steps)
        weight = _weight(finished) or 1.0
        seen = dict(self._seen)  # a new one: the display reads it in another thread
        for part in finished:
            done, seconds = seen.get(part.kind, (0.0, 0.0))
            taken = (now - self._since) * part.weight / weight
            seen[part.kind] = done + part.weight, seconds + taken
        self._seen = seen
        self._done += steps
        self._since, self._inner = now, None

    def contain(self, inner: TimeLeft) -> None:
        """The part at hand has a bar of its own."""
        self._inner = inner

    @property
    def share(self) -> float:
        """What is done of the whole, by weight; it never shrinks."""
        here = _weight(self._parts(self._done, self._done + 1))
        inside = 0.0 if self._inner is None else self._inner.share
        whole = _weight(self._parts(0, self._count))
        done = _weight(self._parts(0, self._done)) + here * inside
        self._most = max(self._most, min(1.0, done / whole) if whole else 0.0)
        return self._most

    def seconds(self) -> float | None:
        """The time that is left; None where nothing is known of it yet."""
        if self._count and self._done >= self._count:
            return 0.0
        here = _weight(self._parts(self._done, self._done + 1))
        if not here:
            return None
        taken = self._clock() - self._since
        inside = None if self._inner is None else self._inner.seconds()
        if inside is None:
            expected = self._expected(self._done, self._done + 1, None)
            if expected is None:
                return None
            inside = max(expected - taken, 0.0)
        later = self._expected(self._done + 1, self._count, (taken + inside) / here)
        return None if later is None else inside + later

    def _parts(self, first: int, last: int) -> Sequence[Piece]:
        if isinstance(self._plan, int):
            return [Piece("", max(0, min(last, self._plan) - first))]
        return self._plan[first:last]

    def _expected(self, first: int, last: int, rate: float | None) -> float | None:
        """Seconds that parts take.

        Args:
            rate: for each unit of weight, where no part is done yet.
        """
        seen = self._seen
        done = sum(weight for weight, _ in seen.values())
        mean = sum(seconds for _, seconds in seen.values()) / done if done else rate
        total = 0.0
        for part in self._parts(first, last):
            weight, seconds = seen.get(part.kind, (0.0, 0.0))
            known = seconds / weight if weight else mean
            if known is None:
                return None
            total += known * part.weight
        return total


def _weight(parts: Sequence[Piece]) -> float:
    return sum(part.weight for part in parts)
