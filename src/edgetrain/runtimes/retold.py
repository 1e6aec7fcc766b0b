"""A reporter's messages on their way from a child process to its parent's reporter."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from ..reporting import Piece, Progress, Reporter
from .child import tell


class Telling(Reporter):
    """The reporter of what runs in a child. Each call returns once the parent's reporter has been called."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def info(self, message: str) -> None:
        tell(("info", message))

    def epoch(self, message: str) -> None:
        tell(("epoch", message))

    def detail(self, message: str) -> None:
        tell(("detail", message))

    def warn(self, message: str) -> None:
        tell(("warn", message))

    @contextmanager
    def progress(self, description: str, total: int | Sequence[Piece] | None = None) -> Iterator[Progress]:
        number = next(self._numbers)
        tell(("begin", number, description, total))
        try:
            yield _Bar(number)
        finally:
            tell(("end", number))


class _Bar(Progress):
    def __init__(self, number: int) -> None:
        self._number = number

    def advance(self, steps: int = 1, **fields: float | str) -> None:
        tell(("advance", self._number, steps, fields))


@contextmanager
def retold(reporter: Reporter) -> Iterator[Callable[[Any], None]]:
    """What a `Child` hands these messages to; bars that it leaves as it dies end with the context."""
    bars: dict[int, tuple[ExitStack, Progress]] = {}

    def take(message: Any) -> None:
        what, *given = message
        if what == "begin":
            number, description, total = given
            stack = ExitStack()
            bars[number] = (stack, stack.enter_context(reporter.progress(description, total)))
        elif what == "advance":
            number, steps, fields = given
            bars[number][1].advance(steps, **fields)
        elif what == "end":
            bars.pop(given[0])[0].close()
        else:
            getattr(reporter, what)(*given)

    try:
        yield take
    finally:
        for stack, _ in reversed(bars.values()):
            stack.close()
