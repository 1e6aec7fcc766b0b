"""What lives when, if backward finds only some of forward's results."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass

from .tape import Operation, Tape


@dataclass(frozen=True)
class Call:
    """An operator at its turn; `again`: in its copy for backward."""

    operation: Operation
    again: bool


@dataclass(frozen=True)
class Schedule:
    """A step, operator by operator.

    Attributes:
        live: bytes at each of them.
        spans: first and last call of each storage; those of copies are counted on from the number of
            storages.
        forward: how many calls are forward ones.
    """

    calls: tuple[Call, ...]
    live: tuple[int, ...]
    spans: dict[int, tuple[int, int]]
    forward: int

    @property
    def peak(self) -> int:
        """Most bytes that live at once."""
        return max(self.live, default=0)

    @property
    def repeated(self) -> int:
        """Multiply-adds of what is made again."""
        return sum(call.operation.macs for call in self.calls if call.again)


def schedule(tape: Tape, kept: Set[int]) -> Schedule:
    """The step in which backward makes again what it needs and isn't kept, right before its first use there.

    Args:
        kept: storages made by forward that backward finds; those that backward doesn't need don't matter.
    """
    calls = [Call(operation, False) for operation in tape.forward]
    made: set[int] = set()
    for operation in tape.backward:
        for index in copies_for(tape, kept, operation.reads, made):
            calls.append(Call(tape.forward[index], True))
        calls.append(Call(operation, False))
    spans = _spans(tape, kept, calls)
    return Schedule(tuple(calls), tuple(_live(tape, kept, calls, spans)), spans, len(tape.forward))


def repeated_work(tape: Tape, kept: Set[int]) -> int:
    """Multiply-adds of what backward makes again; an operator without any counts as one."""
    reads = (storage for operation in tape.backward for storage in operation.reads)
    return sum(max(tape.forward[i].macs, 1) for i in copies_for(tape, kept, reads, set()))


def copies_for(tape: Tape, kept: Set[int], reads: Iterable[int], made: set[int]) -> list[int]:
    """Forward operators to be called again before something that reads these storages, in their order.

    Args:
        made: those that were called again before, by index; these are added.
    """
    needed: list[int] = []
    left = list(reads)
    while left:
        storage = left.pop()
        index = tape.maker.get(storage)
        if index is None or storage in kept or index in made:
            continue
        made.add(index)
        needed.append(index)
        left += tape.forward[index].reads
    return sorted(needed)


def _read(tape: Tape, kept: Set[int], call: Call, position: int) -> list[int]:
    """The storages a call reads, copies of them where it is behind the border."""
    reads = call.operation.reads
    if position < len(tape.forward):
        return list(reads)
    return [copy_of(tape, s) if s in tape.maker and s not in kept else s for s in reads]


def copy_of(tape: Tape, storage: int) -> int:
    """The number of a storage's copy."""
    return storage + len(tape.sizes)


def _spans(tape: Tape, kept: Set[int], calls: list[Call]) -> dict[int, tuple[int, int]]:
    spans = dict.fromkeys(tape.inputs, (0, 0))
    for i, call in enumerate(calls):
        for storage in _read(tape, kept, call, i):
            spans[storage] = (spans[storage][0], i)
        for storage in call.operation.makes:
            spans[copy_of(tape, storage) if call.again else storage] = (i, i)
    for storage in tape.outputs:
        if storage in spans:
            spans[storage] = (spans[storage][0], len(calls) - 1)
    return spans


def _live(tape: Tape, kept: Set[int], calls: list[Call], spans: dict[int, tuple[int, int]]) -> list[int]:
    """Bytes at each call; a result that takes the place of an argument is counted once."""
    count = len(tape.sizes)
    change = [0] * (len(calls) + 1)
    for storage, (first, last) in spans.items():
        size = tape.sizes[storage % count]
        change[first] += size
        change[last + 1] -= size
    live, now = [], 0
    for i, call in enumerate(calls):
        now += change[i]
        shared = 0
        for storage in call.operation.over:
            behind = i >= len(tape.forward) and storage in tape.maker and storage not in kept
            if spans[copy_of(tape, storage) if behind else storage][1] == i:
                shared = tape.sizes[storage]
                break
        live.append(now - shared)
    return live
