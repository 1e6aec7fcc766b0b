"""Running something that may crash in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from ..errors import CheckFailedError

T = TypeVar("T")


def run_in_child(function: Callable[..., T], *args: Any, what: str) -> T:
    """Calls `function(*args)` in a fresh process and returns its result.

    Args:
        function: a module-level function; it, its arguments and its result are pickled.
        what: what the child does, for the message when it dies, as in "running the new program".
    Raises:
        CheckFailedError: the child crashed.
        Exception: whatever `function` raised.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with tempfile.NamedTemporaryFile(prefix="edgetrain-", suffix=".log") as log:
        child = context.Process(target=_call, args=(theirs, log.name, pickle.dumps((function, args))), daemon=True)
        child.start()
        theirs.close()
        try:
            succeeded, value = pickle.loads(ours.recv_bytes())
        except EOFError:
            child.join()
            raise CheckFailedError(f"{_death(child.exitcode)} while {what}") from None
        finally:
            if child.is_alive():
                child.join(timeout=10)
            if child.is_alive():
                child.kill()
    if not succeeded:
        raise value
    return value


def _call(pipe: Connection, log: str, job: bytes) -> None:
    """The child: answers (True, result) or (False, exception).

    Both ways go through plain pickle: multiprocessing's own would share tensors with a process that is gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 2)
    try:
        function, args = pickle.loads(job)
        result = (True, function(*args))
    except BaseException as error:
        result = (False, error)
    pipe.send_bytes(pickle.dumps(result))
    pipe.close()
    sys.stdout.flush()


def _death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"the process died of {signal.Signals(-exitcode).name}"
    return f"the process ended with code {exitcode}"
