"""Ctrl-C and SIGTERM as a request to stop at the next good moment."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# One Ctrl-C comes twice under torchrun: from the terminal, and passed on by its agent.
_SAME_REQUEST_S = 1.0


class Interrupt:
    """Whether the user asked to stop."""

    def __init__(self) -> None:
        self.requested = False
        self._since = 0.0

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler: notes the first signal, stops at once at a later one.

        Raises:
            KeyboardInterrupt: a stop was requested a while ago.
        """
        now = time.monotonic()
        if not self.requested:
            self.requested, self._since = True, now
        elif now - self._since > _SAME_REQUEST_S:
            raise KeyboardInterrupt


@contextmanager
def catch_interrupts() -> Iterator[Interrupt]:
    """Turns the first SIGINT or SIGTERM into `requested`, for as long as the context lasts.

    Python delivers signals to the main thread only; elsewhere nothing is caught and `requested` stays False.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = {number: signal.signal(number, interrupt.handle) for number in _SIGNALS}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            # None: the handler was not set from Python and can't be put back by it.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
