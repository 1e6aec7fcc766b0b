"""Processes that are forked: off what, where they run, and that none is left."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from edgetrain.errors import CheckFailedError
from edgetrain.runtimes import nursery
from edgetrain.runtimes.child import Child, Started

HELPERS = """
import os, tempfile
from pathlib import Path

prepared_in = []

def prepare():
    prepared_in.append(os.getpid())

def crash():
    import sys
    print("no such instruction", file=sys.stderr, flush=True)
    os.kill(os.getpid(), 4)

def linger():
    import time
    time.sleep(2)

class Look:
    def pid(self):
        return os.getpid()
    def keeper(self):
        return os.getppid()
    def nursery(self):
        status = Path(f"/proc/{os.getppid()}/status").read_text()
        return int(status.split("PPid:")[1].split()[0])
    def prepared_in(self):
        return prepared_in
    def place(self):
        return os.getcwd(), os.environ.get("EDGETRAIN_TEST_WORD"), tempfile.gettempdir()
    def threads(self, process):
        return len(os.listdir(f"/proc/{process}/task"))
    def wait(self):
        import time
        time.sleep(60)
    def compute(self, seconds):
        import time
        while time.process_time() < seconds:
            pass

class Stuck:
    def __init__(self, place):
        import time
        Path(place).write_text(str(os.getpid()))
        time.sleep(60)
"""
OWNER = """
import sys, time
from edgetrain.runtimes.child import Child
from edgetrain_nursery_helpers import Look
child = Child(Look, what="looking")
print(child.call("nursery"), child.call("keeper"), child.call("pid"), flush=True)
child.begin("wait")
time.sleep(60)
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "edgetrain_nursery_helpers.py").write_text(HELPERS)
    monkeypatch.syspath_prepend(tmp_path)
    import edgetrain_nursery_helpers

    yield edgetrain_nursery_helpers
    del sys.modules["edgetrain_nursery_helpers"]


def gone(process: int) -> bool:
    """Whether a process ends within some seconds."""
    for _ in range(500):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def test_processes_share_what_one_has_imported(helpers: Any) -> None:
    found = []
    for _ in range(2):
        with (
            Started(helpers.prepare) as started,
            Child(helpers.Look, what="looking", started=started) as child,
        ):
            found.append([child.call("pid"), child.call("nursery"), child.call("prepared_in")])
    (first, origin, before), (second, same, prepared) = found
    assert first != second
    assert origin == same
    assert origin in before
    assert prepared.count(origin) > 1, "the second was forked off the same, which had been prepared twice"
    with Child(helpers.Look, what="looking", started=Started(helpers.prepare, alone=True)) as child:
        apart = child.call("nursery")
        assert apart != origin
    assert gone(apart)


def test_they_run_where_their_owner_is(helpers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for word in ("one", "two"):
        folder = tmp_path / word
        folder.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setenv("EDGETRAIN_TEST_WORD", word)
        monkeypatch.setenv("TMPDIR", str(folder))
        with Child(helpers.Look, what="looking") as child:
            assert child.call("place") == (str(folder), word, str(folder))


@pytest.mark.parametrize(
    "module", ["edgetrain.runtimes.steps.prepare", "edgetrain.predicting.subject._prepare"]
)
def test_what_is_imported_starts_no_threads(helpers: Any, module: str) -> None:
    """A forked copy of a process with several threads may wait for ever for one that isn't there."""
    name, function = module.rsplit(".", 1)
    prepare = getattr(__import__(name, fromlist=[function]), function)
    with Started(prepare) as started, Child(helpers.Look, what="looking", started=started) as child:
        assert child.call("threads", child.call("nursery")) == 1


def test_all_end_with_their_owner(helpers: Any, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert owner.stdout is not None
    processes = [int(word) for word in owner.stdout.readline().split()]
    assert len(processes) == 3
    owner.kill()
    owner.wait()
    owner.stdout.close()
    assert all(map(gone, processes))


def test_processes_outlive_the_thread_that_was_first(helpers: Any) -> None:
    """Linux's own watch over parents (PR_SET_PDEATHSIG) is over threads."""
    nursery._end_nursery()
    found: list[Child] = []
    thread = threading.Thread(target=lambda: found.append(Child(helpers.Look, what="looking")))
    thread.start()
    thread.join()
    with found[0] as child:
        time.sleep(0.2)
        assert child.call("prepared_in") == []
    nursery._end_nursery()


def test_after_the_nursery_was_killed(helpers: Any) -> None:
    with Child(helpers.Look, what="looking") as child:
        first = child.call("nursery")
    os.kill(first, signal.SIGKILL)
    time.sleep(0.2)
    with Child(helpers.Look, what="looking") as child:
        assert child.call("nursery") != first


@pytest.mark.promise("A program that crashes is an error, in a process of its own")
def test_a_crash_while_importing_is_named(helpers: Any) -> None:
    with pytest.raises(CheckFailedError, match=r"died of SIGILL while looking \(no such instruction\)"):
        Child(helpers.Look, what="looking", started=Started(helpers.crash))
    with Child(helpers.Look, what="looking") as child:
        assert child.call("pid")


def test_one_that_is_not_there_yet_is_ended_alone(helpers: Any) -> None:
    with Child(helpers.Look, what="looking") as other:
        log, pipe, process = Started(helpers.linger).taken()
        process.kill()
        assert process.wait(0) == -signal.SIGKILL
        log.close()
        assert other.call("pid")
        with Child(helpers.Look, what="looking") as child:
            assert child.call("pid")
        with pytest.raises(EOFError):
            pipe.recv_bytes()


def test_many_threads_ask_at_once(helpers: Any) -> None:
    def ask(_: int) -> int:
        with Child(helpers.Look, what="looking") as child:
            return int(child.call("pid"))

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(ask, range(24)))) == 24


def test_an_order_that_was_interrupted(helpers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an order would be read as the beginning of the next one."""

    def interrupted(sock: socket.socket, buffers: list[bytes], files: list[int]) -> int:
        sock.sendall(buffers[0][:20])
        raise KeyboardInterrupt

    with Child(helpers.Look, what="looking") as other:
        with monkeypatch.context() as patch:
            patch.setattr(socket, "send_fds", interrupted)
            with pytest.raises(KeyboardInterrupt):
                Child(helpers.Look, what="looking")
        with Child(helpers.Look, what="looking") as child:
            assert child.call("pid") != other.call("pid")


def test_nobody_is_left_where_making_the_object_is_interrupted(
    helpers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "number"

    def interrupt(*_: Any) -> None:
        while not place.exists() or not place.read_text():
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(Child, "_answer", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Child(helpers.Stuck, str(place), what="looking")
    assert gone(int(place.read_text()))


def test_what_can_not_be_forked_says_why() -> None:
    with tempfile.TemporaryFile() as log:
        reading, writing = multiprocessing.Pipe(duplex=False)
        nursery._failed(OSError(11, "Resource temporarily unavailable"), log.fileno(), writing.fileno())
        assert [int(reading.recv_bytes()) for _ in range(2)] == [0, 1]
        log.seek(0)
        assert b"temporarily unavailable" in log.read()


@pytest.mark.parametrize("forbidden", [False, True])
def test_how_a_process_ended(monkeypatch: pytest.MonkeyPatch, forbidden: bool) -> None:
    """Containers may forbid what tells at once that nobody listens any more."""

    def refuse(number: int) -> int:
        raise PermissionError

    if forbidden:
        monkeypatch.setattr(os, "pidfd_open", refuse)
    reading, writing = multiprocessing.Pipe(duplex=False)
    process = subprocess.Popen(["sh", "-c", "exit 3"])
    process.returncode = os.waitstatus_to_exitcode(nursery._awaited(process.pid, writing.fileno()))
    assert process.returncode == 3
    reading.close()


def test_the_time_of_one_that_is_alone_is_added_up(helpers: Any) -> None:
    """`bench` tells its own work from that of others by this sum."""
    before = sum(os.times()[2:4])
    with Child(helpers.Look, what="computing", started=Started(alone=True)) as child:
        child.call("compute", 0.5)
    assert sum(os.times()[2:4]) - before > 0.4


def test_no_code_is_taken_from_the_folder(
    helpers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's own habit with `-c`: a file of somebody's that is called like a module would be run."""
    downloads = Path(tempfile.mkdtemp(dir=tmp_path))
    (downloads / "struct.py").write_text("raise SystemExit('taken')")
    (downloads / "ctypes.py").write_text("raise SystemExit('taken')")
    monkeypatch.chdir(downloads)
    with Child(helpers.Look, what="looking", started=Started(alone=True)) as child:
        assert child.call("place")[0] == str(downloads)
