"""Ctrl-C and SIGTERM, passed on to a process of ours."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def forwarded(send: Callable[[int], None]) -> Iterator[None]:
    """Gives SIGINT and SIGTERM to `send` for as long as the context lasts.

    Python delivers signals to the main thread only; elsewhere nothing is passed on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        send(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: the handler was not set from Python and can't be put back by it.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
