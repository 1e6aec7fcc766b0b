"""Running something that may crash, or must be measured alone, in a process of its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, TypeVar

from ..errors import CheckFailedError

T = TypeVar("T")


class Child:
    """An object that lives in a fresh process, whose methods are called from here.

    Messages go through plain pickle: multiprocessing's own would share tensors' memory between processes.

    Args:
        factory: makes the object, in the child; module-level, so that it can be pickled, as `args` are.
        what: what the child does, for the message when it dies, as in "running the new program".
    Raises (all calls):
        CheckFailedError: the child crashed.
        Exception: whatever was raised in the child.
    """

    def __init__(self, factory: Callable[..., Any], *args: Any, what: str) -> None:
        self._what = what
        # C++ writes to the child's stderr; it is kept out of the user's terminal.
        self._log = tempfile.NamedTemporaryFile(prefix="edgetrain-", suffix=".log")  # noqa: SIM115
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        job = pickle.dumps((factory, args))
        self._process = context.Process(target=_serve, args=(theirs, self._log.name, job), daemon=True)
        self._process.start()
        theirs.close()
        self._answer()

    def call(self, method: str, *args: Any) -> Any:
        """Calls a method of the child's object and returns its result."""
        message = pickle.dumps((method, args))
        # A child that died since its last answer is found out by _answer.
        with contextlib.suppress(OSError):
            self._pipe.send_bytes(message)
        return self._answer()

    def close(self) -> None:
        """Ends the child."""
        self._pipe.close()
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._log.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self) -> Any:
        try:
            succeeded, value = pickle.loads(self._pipe.recv_bytes())
        except (EOFError, OSError):
            self._process.join()
            exitcode = self._process.exitcode
            self.close()
            raise CheckFailedError(f"{_death(exitcode)} while {self._what}") from None
        if not succeeded:
            self.close()
            raise value
        return value


class _Call:
    """A single function call as an object."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.result = function(*args)

    def get(self) -> Any:
        return self.result


def run_in_child(function: Callable[..., T], *args: Any, what: str) -> T:
    """Calls `function(*args)` in a fresh process and returns its result; see `Child`."""
    with Child(_Call, function, *args, what=what) as child:
        return child.call("get")


def _serve(pipe: Connection, log: str, job: bytes) -> None:
    """The child: makes the object, then answers calls with (True, result) or (False, exception)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND), 2)
    target: Any = None
    message = job
    while True:
        try:
            what, args = pickle.loads(message)
            if target is None:
                target, result = what(*args), None
            else:
                result = getattr(target, what)(*args)
            answer = pickle.dumps((True, result))
        except Exception as error:
            answer = _pickled(error)
        try:
            pipe.send_bytes(answer)
            message = pipe.recv_bytes()
        except (EOFError, OSError):
            return


def _pickled(error: Exception) -> bytes:
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
