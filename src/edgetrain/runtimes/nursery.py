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
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
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
_MOMENT = 1.0  # in which processes end that have nothing left to do [s]
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
        self.whole = True
        self._log = tempfile.TemporaryFile(prefix="edgetrain-")  # noqa: SIM115
        # A thread's children die with it, which of the main one are all.
        watched = threading.current_thread() is threading.main_thread()
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, str(theirs.fileno()), str(self.owner * watched), *sys.path],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # or importing NumPy starts threads
                start_new_session=True,  # Ctrl-C is its owner's to handle
            )

    def fork(self, order: _Order, files: Sequence[int]) -> bool:
        """Whether that was possible, as it isn't where the nursery has died."""
        message = pickle.dumps(order)
        message = _LENGTH.pack(len(message)) + message
        self.whole = False  # an interrupt may come in between
        try:
            sent = socket.send_fds(self._socket, [message], files)
            self._socket.sendall(message[sent:])
        except OSError:
            return False
        self.whole = True
        return True

    def last_words(self) -> tuple[int, bytes] | None:
        """What it died of and had written; None if it lives."""
        try:
            code = self._process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            return None
        self._log.seek(0)
        return code, self._log.read()

    def end(self, patience: float = 0.0) -> None:
        """Ends it, and its processes where these die with it.

        Args:
            patience: seconds for it to end by itself, and to add up the time its processes took.
        """
        self._socket.close()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


_shared: _Nursery | None = None
_lock = threading.Lock()


@atexit.register
def _end_nursery() -> None:
    if _shared is not None and _shared.owner == os.getpid():
        _shared.end()


class Process:
    """A process that does `main`.

    It has the environment and folder of now. What libraries read of the environment as they load is that
    of the nursery's beginning.

    Args:
        pipe: its end, which is closed here.
        log: takes what it writes to stdout and stderr.
        prepare: called first. What it imports is there for later processes as well.
        alone: forked off a nursery of its own, for one whose memory is measured.
    """

    def __init__(
        self, main: Main, pipe: Connection, log: IO[bytes], prepare: Prepare, *, alone: bool = False
    ) -> None:
        environment = dict(os.environ)
        order = _Order(
            list(sys.path), str(Path.cwd()), environment, pickle.dumps(prepare), pickle.dumps(main)
        )
        self._log = log
        self._told: list[int] = []  # number, then exit code
        self._status, theirs = multiprocessing.Pipe(duplex=False)
        self._alone = alone or not _AHEAD
        with pipe, theirs:
            files = [pipe.fileno(), log.fileno(), theirs.fileno()]
            if self._alone:
                self._nursery = _Nursery()
                self._nursery.fork(order, files)
            else:
                self._nursery = _forked_off_the_shared(order, files)

    @property
    def pid(self) -> int:
        """Its number, once it is there.

        Raises:
            ProcessLookupError: it never was.
        """
        self._heard(1, None)
        if not self._told[0]:
            raise ProcessLookupError
        return self._told[0]

    def send_signal(self, number: int) -> None:
        """Sends it a signal. One that isn't there yet will not come to be."""
        if self._heard(2, 0):
            return
        if self._told:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._told[0], number)
            return
        self._told = [0, -number]
        self.close()

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int | None:
        """Its exit code, or minus the signal that it died of; None if it lives on after so many seconds."""
        return self._told[1] if self._heard(2, timeout) else None

    def close(self) -> None:
        """Waits for it no longer, which ends it (Linux)."""
        self._status.close()
        if self._alone:
            self._nursery.end(patience=2 * _MOMENT)

    def _heard(self, count: int, timeout: float | None) -> bool:
        """Whether that many things are known of it in time."""
        while len(self._told) < count:
            if not self._status.poll(timeout):
                return False
            try:
                self._told.append(int(self._status.recv_bytes()))
            except (EOFError, OSError):  # its keeper was killed, or the nursery is dead
                code, words = self._nursery.last_words() or (-signal.SIGKILL, b"")
                self._told += [0, code][len(self._told) :]
                self._log.write(words)
        return True


def _forked_off_the_shared(order: _Order, files: Sequence[int]) -> _Nursery:
    global _shared
    with _lock:
        usable = _shared is not None and _shared.owner == os.getpid() and _shared.whole
        if _shared is None or not usable or not _shared.fork(order, files):
            _shared = _Nursery()
            _shared.fork(order, files)
        return _shared


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
            try:
                if os.fork() == 0:
                    orders.close()
                    _keep(order, files, nursery)
            except OSError as error:
                _failed(error, *files[1:])
            for file in files:
                os.close(file)
            _reap()
    ends = time.monotonic() + _MOMENT
    while _reap() and time.monotonic() < ends:
        time.sleep(0.005)
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


def _reap() -> bool:
    """Takes note of keepers that have ended, and returns whether others are left."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def _keep(order: _Order, files: list[int], nursery: int) -> None:
    """A keeper, which doesn't return."""
    pipe, log, status = files
    try:
        _end_with(nursery)
        keeper = os.getpid()
        if (number := os.fork()) == 0:
            os.close(status)
            _end_with(keeper)
            _run(order, pipe, log)
    except OSError as error:
        _failed(error, log, status)
        os._exit(0)
    try:
        os.close(pipe)
        tell = Connection(os.dup(status), readable=False)
        tell.send_bytes(b"%d" % number)
        ended = _awaited(number, status)
        tell.send_bytes(b"%d" % os.waitstatus_to_exitcode(ended))
    finally:  # nobody may want to know any more
        os._exit(0)


def _awaited(number: int, status: int) -> int:
    """How a process ended, which it does, too, when nobody listens any more."""
    if sys.platform == "linux":
        # Before Linux 5.3, and where a container forbids it, the process is merely waited for.
        with contextlib.suppress(OSError):
            events = select.poll()
            events.register(os.pidfd_open(number), select.POLLIN)
            events.register(status, 0)  # an error means that the other end is closed
            if all(descriptor == status for descriptor, _ in events.poll()):
                os.kill(number, signal.SIGKILL)
    return os.waitpid(number, 0)[1]


def _failed(error: OSError, log: int, status: int) -> None:
    """Tells that a process could not be made."""
    with contextlib.suppress(OSError):
        os.write(log, f"{error}\n".encode())
        tell = Connection(os.dup(status), readable=False)
        for number in (0, 1):  # no process, and its exit code
            tell.send_bytes(b"%d" % number)


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
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _end_with(parent: int) -> None:
    """This process dies with the one that started it, whatever that one dies of, and in whatever it does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has died before that
            os._exit(1)
