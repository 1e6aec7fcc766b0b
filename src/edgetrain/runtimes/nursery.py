"""Processes forked off one that has imported what they need, which takes PyTorch and ExecuTorch seconds.

That one, the nursery, computes nothing: a process in which threads are at work can't be forked. It forks a
keeper, which forks the process that is asked for, waits for it and says how it ended. Each dies with the one
that made it, and the nursery with its owner (Linux; elsewhere there is a nursery for each process, which
imports nothing before it forks).
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import multiprocessing
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

from ..collector import collect_seldom

# What a process does, given its end of a pipe. Module-level, so that it can be pickled, as `Prepare` is.
Main = Callable[[Connection], None]
Prepare = Callable[[], None]

_AHEAD = sys.platform == "linux"
_PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>
_LENGTH = struct.Struct("!Q")
_START = """import sys
sys.path[:] = sys.argv[3:]
from edgetrain.runtimes.nursery import tend
tend(*map(int, sys.argv[1:3]))"""


@dataclass(frozen=True)
class _Order:
    """What to do in a new process, and where. Functions are pickled by themselves: their modules are found by
    the path that is given here."""

    path: list[str]
    folder: str
    environment: dict[str, str]
    prepare: bytes
    main: bytes

    def prepared(self) -> None:
        sys.path[:] = self.path
        with contextlib.suppress(Exception):  # what can't be imported fails again where it is used
            pickle.loads(self.prepare)()


class _Nursery:
    """Of this process."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        # A thread's children die with it, which of the main one are all.
        watched = threading.current_thread() is threading.main_thread()
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, str(theirs.fileno()), str(self.owner * watched), *sys.path],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # or importing NumPy starts threads
                start_new_session=True,  # Ctrl-C is its owner's to handle
            )

    def fork(self, order: _Order, files: Sequence[int]) -> bool:
        """Whether that was possible, as it isn't where the nursery has died."""
        message = pickle.dumps(order)
        try:
            socket.send_fds(self._socket, [_LENGTH.pack(len(message))], files)
            self._socket.sendall(message)
        except OSError:
            return False
        return True

    def end(self) -> None:
        """Ends it and its processes."""
        self._socket.close()
        self._process.kill()
        self._process.wait()


_shared: _Nursery | None = None


@atexit.register
def _end_nursery() -> None:
    if _shared is not None and _shared.owner == os.getpid():
        _shared.end()


class Process:
    """A process that does `main`.

    Args:
        pipe: its end, which is closed here.
        log: takes what it writes to stdout and stderr.
        prepare: called first. What it imports is there for later processes as well.
        alone: forked off a nursery of its own, for one whose memory is measured.
    """

    def __init__(
        self, main: Main, pipe: Connection, log: IO[bytes], prepare: Prepare, *, alone: bool = False
    ) -> None:
        global _shared
        environment = dict(os.environ)
        order = _Order(
            list(sys.path), str(Path.cwd()), environment, pickle.dumps(prepare), pickle.dumps(main)
        )
        self._told: list[int] = []  # number, then exit code
        self._status, theirs = multiprocessing.Pipe(duplex=False)
        self._alone = alone or not _AHEAD
        with pipe, theirs:
            files = [pipe.fileno(), log.fileno(), theirs.fileno()]
            if self._alone:
                self._nursery = _Nursery()
                self._nursery.fork(order, files)
                return
            if _shared is None or _shared.owner != os.getpid() or not _shared.fork(order, files):
                _shared = _Nursery()
                _shared.fork(order, files)
            self._nursery = _shared

    @property
    def pid(self) -> int:
        """Its number, once it is there."""
        self._heard(1, None)
        return self._told[0]

    def send_signal(self, number: int) -> None:
        """Sends it a signal. One that isn't there yet ends with its nursery."""
        if self._heard(2, 0):
            return
        if not self._told:
            self._nursery.end()
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._told[0], number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int | None:
        """Its exit code, or minus the signal that it died of; None if it lives on after so many seconds."""
        return self._told[1] if self._heard(2, timeout) else None

    def close(self) -> None:
        """Waits for it no longer."""
        self._status.close()
        if self._alone:
            self._nursery.end()

    def _heard(self, count: int, timeout: float | None) -> bool:
        """Whether that many things are known of it in time."""
        while len(self._told) < count:
            if not self._status.poll(timeout):
                return False
            try:
                self._told.append(int(self._status.recv_bytes()))
            except (EOFError, OSError):  # somebody killed its keeper, and so it
                self._told = [*self._told, 0, -signal.SIGKILL][-2:]
        return True


def tend(descriptor: int, owner: int) -> None:
    """The nursery: forks what is asked for, until its owner is gone and the socket closed.

    Args:
        owner: 0 where it may not be watched.
    """
    if owner:
        _end_with(owner)
    collect_seldom()
    with socket.socket(fileno=descriptor) as orders:
        while received := _receive(orders):
            message, files = received
            order: _Order = pickle.loads(message)
            if _AHEAD:
                order.prepared()
            gc.freeze()  # what is there stays, and looking through it would copy it
            nursery = os.getpid()
            if os.fork() == 0:
                orders.close()
                _keep(order, files, nursery)
            for file in files:
                os.close(file)
            _reap()
    os._exit(0)


def _receive(orders: socket.socket) -> tuple[bytes, list[int]] | None:
    length, files, _, _ = socket.recv_fds(orders, _LENGTH.size, 3)
    if len(length) < _LENGTH.size:
        return None
    (left,) = _LENGTH.unpack(length)
    message = b""
    while len(message) < left:
        if not (part := orders.recv(left - len(message))):
            return None
        message += part
    return message, files


def _reap() -> None:
    """Takes note of keepers that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _keep(order: _Order, files: list[int], nursery: int) -> None:
    """A keeper, which doesn't return."""
    pipe, log, status = files
    _end_with(nursery)
    keeper = os.getpid()
    if (number := os.fork()) == 0:
        os.close(status)
        _end_with(keeper)
        _run(order, pipe, log)
    os.close(pipe)
    os.close(log)
    with contextlib.suppress(OSError):  # nobody may want to know
        tell = Connection(status, readable=False)
        tell.send_bytes(b"%d" % number)
        _, ended = os.waitpid(number, 0)
        tell.send_bytes(b"%d" % os.waitstatus_to_exitcode(ended))
    os._exit(0)


def _run(order: _Order, pipe: int, log: int) -> None:
    """The process that was asked for, which does not return: taking PyTorch apart lasts seconds."""
    code = 1
    try:
        for stream in (1, 2):
            os.dup2(log, stream)
        os.close(log)
        os.environ.clear()
        os.environ.update(order.environment)
        tempfile.tempdir = None  # it may be another by this environment
        os.chdir(order.folder)
        order.prepared()
        pickle.loads(order.main)(Connection(pipe))
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _end_with(parent: int) -> None:
    """This process dies with the one that started it, whatever that one dies of, and in whatever it does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has died before that
            os._exit(1)
