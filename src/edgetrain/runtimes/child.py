"""Running something that may crash, or must be measured alone, in a process of its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from ..errors import CheckFailedError, EdgetrainError
from .limits import limit_memory, machine_memory
from .nursery import Process
from .signals import forwarded

_SAME_REQUEST_S = 1.0  # as in engine/interrupt.py
_pipe: Connection | None = None  # to the parent, in a child


class TimeLimitError(EdgetrainError):
    """A call took longer than it was given."""


class Started:
    """A process that will become a `Child`'s. It imports what it will need while its parent is busy.

    Args:
        prepare: called in that process, or the one that it is forked off; module-level.
        alone: as in `Process`.
    """

    def __init__(self, prepare: Callable[[], None] | None = None, *, alone: bool = False) -> None:
        # What C++ and Python write there is kept out of the user's terminal, and quoted when the child dies.
        self._log = tempfile.TemporaryFile(prefix="edgetrain-")  # noqa: SIM115
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = Process(_serve, theirs, self._log, prepare or _nothing, alone=alone)
        self._free = True

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def taken(self) -> tuple[Any, Connection, Process]:
        """Its log, pipe and process, for a `Child`, once."""
        self._free = False
        return self._log, self._pipe, self._process

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *error: object) -> None:
        """Ends it, if no `Child` has taken it over: it finds nobody at the other end."""
        if self._free:
            self._pipe.close()
            self._process.close()
            self._log.close()


class Child:
    """An object that lives in a fresh process, whose methods are called from here.

    The process may allocate as much memory as the machine has and no more, so that an absurd size in a
    program from elsewhere is an error. Messages go through plain pickle: multiprocessing's own would share
    tensors' memory between processes.

    Args:
        factory: makes the object, in the child; module-level, so that it can be pickled, as `args` are.
        what: what the child does, for the message when it dies, as in "running the new program".
        told: takes what the child's object tells by `tell` while it is called.
    Raises (all calls):
        CheckFailedError: the child crashed.
        Exception: whatever was raised in the child.
    """

    def __init__(
        self,
        factory: Callable[..., Any],
        *args: Any,
        what: str,
        started: Started | None = None,
        told: Callable[[Any], None] | None = None,
    ) -> None:
        started = started or Started()
        self._what, self._told = what, told
        self._interrupted: float | None = None
        self._working = False
        self._log, self._pipe, self._process = started.taken()
        try:
            self._send((factory, args))
            self._answer()
        except BaseException:
            self.close()
            raise

    def call(self, method: str, *args: Any, timeout: float | None = None) -> Any:
        """Calls a method of the child's object and returns its result.

        Args:
            timeout: seconds after which the child is killed.
        Raises:
            TimeLimitError: they have passed.
        """
        self._send((method, args))
        return self._answer(timeout)

    def begin(self, method: str, *args: Any) -> None:
        """Calls a method without waiting for its result, which `answer` returns."""
        self._send((method, args))

    def answer(self) -> Any:
        """The result of what was begun."""
        return self._answer()

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Passes SIGINT and SIGTERM on to the child; one that comes a second later ends it at once."""

        def send(number: int) -> None:
            now = time.monotonic()
            again = self._interrupted is not None and now - self._interrupted > _SAME_REQUEST_S
            self._interrupted = now if self._interrupted is None else self._interrupted
            self._process.send_signal(signal.SIGKILL if again else number)

        with forwarded(send):
            yield

    def close(self) -> None:
        """Ends the child."""
        self._pipe.close()
        if self._working:  # for an answer that nobody waits for any more
            self._process.kill()
        if self._process.wait(timeout=5) is None:
            self._process.kill()
            self._process.wait()
        self._process.close()
        self._log.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, message: Any) -> None:
        self._working = True
        # A child that died since its last answer is found out by _answer.
        with contextlib.suppress(OSError):
            self._pipe.send_bytes(pickle.dumps(message))

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        said = [line.strip() for line in lines if line.strip() and "cpuinfo" not in line]
        return f" ({said[-1]})" if said else ""

    def _answer(self, timeout: float | None = None) -> Any:
        ends = None if timeout is None else time.monotonic() + timeout
        while (answer := self._received(ends, timeout))[0] is None:
            if self._told is not None:
                self._told(answer[1])
            self._send(None)
        self._working = False
        succeeded, value = answer
        if not succeeded:
            self.close()
            raise value
        return value

    def _received(self, ends: float | None, timeout: float | None) -> tuple[bool | None, Any]:
        if ends is not None and not self._pipe.poll(max(0.0, ends - time.monotonic())):
            self._process.kill()
            self.close()
            raise TimeLimitError(f"{self._what} took more than {timeout:g} s")
        try:
            received: tuple[bool | None, Any] = pickle.loads(self._pipe.recv_bytes())
        except (EOFError, OSError):
            message = f"{_death(self._process.wait())} while {self._what}{self._last_words()}"
            self.close()
            if self._interrupted is not None:
                raise KeyboardInterrupt from None
            raise CheckFailedError(message) from None
        return received


def _serve(pipe: Connection) -> None:
    """The child: makes the object, then answers calls with (True, result) or (False, exception); before that
    come (None, message) of `tell`."""
    global _pipe
    _pipe = pipe
    limit_memory(machine_memory())
    target: Any = None
    with contextlib.suppress(EOFError, OSError):
        while True:
            message = pipe.recv_bytes()
            try:
                what, args = pickle.loads(message)
                if target is None:
                    target, result = what(*args), None
                else:
                    result = getattr(target, what)(*args)
                answer = pickle.dumps((True, result))
            except (Exception, KeyboardInterrupt) as error:
                answer = _pickled(error)
            pipe.send_bytes(answer)


def tell(message: Any) -> None:
    """In a child: hands the parent something in the midst of a call, and waits until it has been taken."""
    assert _pipe is not None
    _pipe.send_bytes(pickle.dumps((None, message)))
    _pipe.recv_bytes()


def _nothing() -> None:
    """What a process does that has nothing to prepare."""


def _pickled(error: BaseException) -> bytes:
    """The answer for an exception; one that can't travel between processes is replaced by its message."""
    try:
        answer = pickle.dumps((False, error))
        pickle.loads(answer)
    except Exception:
        return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))
    return answer


def _death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"the process died of {signal.Signals(-exitcode).name}"
    return f"the process ended with code {exitcode}"
