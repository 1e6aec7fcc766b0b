"""What a child tells arrives at its parent's reporter, in order, and before the child goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from edgetrain.errors import CheckFailedError
from edgetrain.reporting import Progress, Reporter
from edgetrain.runtimes.child import Child
from edgetrain.runtimes.retold import Telling, retold


class Heard(Reporter):
    def __init__(self) -> None:
        self.events: list[Any] = []

    def info(self, message: str) -> None:
        self.events.append(("info", message))

    def detail(self, message: str) -> None:
        self.events.append(("detail", message))

    def warn(self, message: str) -> None:
        self.events.append(("warn", message))

    @contextmanager
    def progress(self, description: str, total: Any = None) -> Iterator[Progress]:
        events = self.events
        events.append(("begin", description, total))

        class Bar(Progress):
            def advance(self, steps: int = 1, **fields: float | str) -> None:
                events.append((description, steps, fields))

        try:
            yield Bar()
        finally:
            events.append(("end", description))


class Speaker:
    def speak(self) -> str:
        reporter = Telling()
        reporter.info("one")
        with reporter.progress("outer", 2) as outer:
            outer.advance(loss=0.5)
            with reporter.progress("inner") as inner:
                inner.advance(0, now="there")
            outer.advance()
        reporter.detail("two")
        reporter.warn("three")
        return "done"

    def die(self) -> None:
        reporter = Telling()
        with reporter.progress("outer", 2), reporter.progress("inner"):
            os.kill(os.getpid(), signal.SIGKILL)


def test_everything_arrives_in_order() -> None:
    heard, expected = Heard(), Heard()
    with retold(heard) as told, Child(Speaker, what="speaking", told=told) as child:
        assert child.call("speak") == "done"
    expected.info("one")
    with expected.progress("outer", 2) as outer:
        outer.advance(loss=0.5)
        with expected.progress("inner") as inner:
            inner.advance(0, now="there")
        outer.advance()
    expected.detail("two")
    expected.warn("three")
    assert heard.events == expected.events


def test_bars_of_a_child_that_died_are_ended() -> None:
    heard = Heard()
    with pytest.raises(CheckFailedError, match="died of SIGKILL while speaking"):  # noqa: SIM117
        with retold(heard) as told, Child(Speaker, what="speaking", told=told) as child:
            child.call("die")
    assert heard.events[2:] == [("end", "inner"), ("end", "outer")]


def test_who_does_not_listen_hears_nothing() -> None:
    with Child(Speaker, what="speaking") as child:
        assert child.call("speak") == "done"
