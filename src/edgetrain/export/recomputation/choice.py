"""What backward finds kept, and what it makes again."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from .minimum_cut import INFINITE, Network
from .schedule import Schedule, copy_of, repeated_work, schedule
from .tape import Tape

# A function of weights alone that is smaller is kept: two operators more cost more than they save [bytes].
_SMALL = 512
# A search ends after so many schedules, which take a few milliseconds each.
_SEARCH = 600


@dataclass(frozen=True)
class Choice:
    """What is kept, and the step that follows from it."""

    kept: frozenset[int]
    schedule: Schedule

    @property
    def value(self) -> tuple[int, int]:
        """The less the better: memory first, then work."""
        return self.schedule.peak, self.schedule.repeated


def choose(tape: Tape, kept: Set[int]) -> Choice:
    """The step with some of forward's results kept, and those that have to be."""
    kept = frozenset(kept | _kept_anyway(tape))
    return Choice(kept, schedule(tape, kept))


def all_kept(tape: Tape) -> Choice:
    """Backward finds all but functions of weights alone."""
    return choose(tape, {s for s in tape.maker if not _is_weight_function(tape, s)})


def cheap_again(tape: Tape) -> Choice:
    """Cheap operators are called again where that leaves least to be kept; as before if it saves nothing."""
    before = all_kept(tape)
    least = choose(tape, _least_kept(tape))
    if least.schedule.peak >= before.schedule.peak - _slack(before):
        return before
    return _relieved(tape, least, least.schedule.peak + _slack(before))


def blocks_again(tape: Tape) -> Choice:
    """All between checkpoints is made again, with those checkpoints that make memory least; then as little of
    it as that memory allows."""
    found = _search(tape)
    return _relieved(tape, found, found.schedule.peak + _slack(found))


def within(tape: Tape, budget: int) -> Choice:
    """The least work whose memory is within a budget; the least memory if none is."""
    for choice in (all_kept(tape), cheap_again(tape)):
        if choice.schedule.peak <= budget:
            return _relieved(tape, choice, budget)
    found = _search(tape)
    return _relieved(tape, found, max(budget, found.schedule.peak))


def _kept_anyway(tape: Tape) -> set[int]:
    """What can't be made again, and what the caller is given: it lives on in any case."""
    return {s for s, i in tape.maker.items() if s in tape.outputs or not tape.forward[i].repeatable}


def _slack(choice: Choice) -> int:
    """Memory that is worth no operator more [bytes]."""
    return choice.schedule.peak >> 8


def _is_weight_function(tape: Tape, storage: int) -> bool:
    return tape.forward[tape.maker[storage]].constant and tape.sizes[storage] >= _SMALL


def _least_kept(tape: Tape) -> set[int]:
    """The smallest set of results from which cheap operators make all that backward needs.

    Each storage is an edge as wide as it is large; what isn't cheap hangs on one end, backward on the other.
    """
    network = Network()
    anyway = _kept_anyway(tape)
    for storage in (*tape.inputs, *tape.maker):
        start, end = 2 + 2 * storage, 3 + 2 * storage
        network.connect(start, end, 0 if storage in tape.outputs else tape.sizes[storage])
        index = tape.maker.get(storage)
        if index is None or storage in anyway or not tape.forward[index].cheap:
            network.connect(0, start, INFINITE)
        else:
            for read in tape.forward[index].reads:
                network.connect(3 + 2 * read, start, INFINITE)
    for storage in {s for o in tape.backward for s in o.reads}:
        if storage in tape.maker or storage in tape.inputs:
            network.connect(3 + 2 * storage, 1, INFINITE)
    behind = network.behind_the_cut()
    return {s for s in tape.maker if 2 + 2 * s not in behind and not _is_weight_function(tape, s)}


def _search(tape: Tape) -> Choice:
    """Checkpoints by local search: all the places where little passes from one operator to later ones, or
    every second of them, ...; then single results are taken away and put back while that lowers memory."""
    places = _narrow_places(tape)
    starts = [set().union(*places[::step]) for step in range(1, len(places) + 1)] or [set()]
    best = min((choose(tape, kept) for kept in starts), key=lambda choice: choice.value)
    left = _SEARCH
    while left > 0:
        for storage in _suspects(tape, best, starts[0]):
            left -= 1
            other = choose(tape, best.kept ^ {storage})
            if other.value < best.value or left == 0:
                break
        else:
            break
        best = min(best, other, key=lambda choice: choice.value)
    return best


def _narrow_places(tape: Tape) -> list[set[int]]:
    """What passes between forward operators, where that is less than before and behind."""
    last = {s: i for i, o in enumerate(tape.forward) for s in o.reads}
    passing: set[int] = set()
    all_places: list[set[int]] = []
    for i, operation in enumerate(tape.forward):
        if operation.constant:
            continue
        passing = {s for s in passing if last[s] > i}
        passing |= {s for s in operation.makes if last.get(s, i) > i}
        all_places.append(set(passing))
    sizes = [sum(tape.sizes[s] for s in place) for place in all_places]
    narrow: list[set[int]] = []
    falling = True
    for i, place in enumerate(all_places[:-1]):
        if i and sizes[i] != sizes[i - 1]:
            falling = sizes[i] < sizes[i - 1]
        # Of several as narrow ones the last, whose results are those that backward reads.
        if falling and sizes[i + 1] > sizes[i] and place:
            narrow.append(place)
    return narrow


def _suspects(tape: Tape, choice: Choice, checkpoints: Set[int]) -> list[int]:
    """Results that may be to blame for the peak: first those that are kept over it, the largest first; then
    checkpoints that would spare copies that live there."""
    steps = choice.schedule
    peak = steps.live.index(steps.peak)
    anyway = _kept_anyway(tape)
    over = [
        s
        for s in tape.maker
        if s in choice.kept
        and s not in anyway
        and s in steps.spans
        and steps.spans[s][0] < peak < steps.spans[s][1]
    ]
    behind = [s for s in checkpoints if s not in choice.kept and copy_of(tape, s) in steps.spans]
    near = [s for s in behind if steps.spans[copy_of(tape, s)][0] <= peak]
    return sorted(over, key=lambda s: -tape.sizes[s]) + sorted(near, key=lambda s: (tape.sizes[s], s))


def _relieved(tape: Tape, choice: Choice, limit: int) -> Choice:
    """Keeps results again that are dear to make, for as long as memory stays within a limit."""
    again = {s for call in choice.schedule.calls if call.again for s in call.operation.makes}
    work, gains = repeated_work(tape, choice.kept), {}
    for storage in sorted(s for s in again if not _is_weight_function(tape, s)):
        spared = work - repeated_work(tape, choice.kept | {storage})
        gains[storage] = spared / max(tape.sizes[storage], 1)
    return _keep_more(tape, choice, limit, sorted(gains, key=lambda s: -gains[s]))


def _keep_more(tape: Tape, choice: Choice, limit: int, storages: Sequence[int]) -> Choice:
    """All of some storages, if they fit; else as many of each half as do."""
    if not storages:
        return choice
    more = choose(tape, choice.kept | set(storages))
    if more.schedule.peak <= limit:
        return more
    if len(storages) == 1:
        return choice
    half = len(storages) // 2
    return _keep_more(tape, _keep_more(tape, choice, limit, storages[:half]), limit, storages[half:])
