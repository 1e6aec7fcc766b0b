from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgetrain.errors import CheckFailedError, InputError
from edgetrain.runtimes.child import Child, Started, TimeLimitError

HELPERS = """
import os, signal, sys, time
from edgetrain.errors import InputError
from edgetrain.runtimes.child import tell

class Picky(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")

class Holder(Exception):
    def __init__(self):
        super().__init__("holds a function")
        self.function = lambda: None

def fail(kind):
    if kind == "input":
        raise InputError("bad file")
    raise Picky("this", "that") if kind == "picky" else Holder()

def die(number):
    print("last words", file=sys.stderr)
    os.abort() if number == signal.SIGABRT else os.kill(os.getpid(), number)

ready = False

def prepare():
    global ready
    ready = True

class Call:
    def __init__(self, function, *args):
        self.result = function(*args)
    def get(self):
        return self.result

class Counter:
    def __init__(self, start):
        self.value = start
    def add(self, n):
        self.value += n
        return self.value
    def prepared(self):
        return ready
    def talk(self):
        while True:
            time.sleep(0.2)
            tell("still there")
    def pid(self):
        return os.getpid()
    def leave(self):
        sys.exit(7)
"""


@pytest.fixture
def helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "edgetrain_test_helpers.py").write_text(HELPERS)
    monkeypatch.syspath_prepend(tmp_path)
    import edgetrain_test_helpers

    yield edgetrain_test_helpers
    del sys.modules["edgetrain_test_helpers"]


def _run(helpers: Any, function: Any, *args: Any, what: str) -> Any:
    with Child(helpers.Call, function, *args, what=what) as child:
        return child.call("get")


def test_result_and_state(helpers: Any) -> None:
    with Child(helpers.Counter, 3, what="counting") as child:
        assert [child.call("add", 2), child.call("add", 5)] == [5, 10]
        pid = child.call("pid")
        assert pid != os.getpid()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert _run(helpers, max, 3, 7, what="comparing") == 7


def test_exceptions_come_through(helpers: Any) -> None:
    with pytest.raises(InputError, match=r"^bad file$"):
        _run(helpers, helpers.fail, "input", what="failing")
    with pytest.raises(RuntimeError, match="Picky: this and that"):
        _run(helpers, helpers.fail, "picky", what="failing")
    with pytest.raises(RuntimeError, match="Holder: holds a function"):
        _run(helpers, helpers.fail, "holder", what="failing")


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL])
@pytest.mark.promise("A program that crashes is an error, in a process of its own")
def test_crashes_are_named(helpers: Any, number: signal.Signals, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CheckFailedError, match=f"died of {number.name} while crashing") as caught:
        _run(helpers, helpers.die, number, what="crashing")
    assert caught.value.exit_code == 4
    assert "last words" not in capfd.readouterr().err


def test_a_child_that_is_gone_before_the_call(helpers: Any) -> None:
    with Child(helpers.Counter, 0, what="waiting") as child:
        os.kill(child.call("pid"), signal.SIGKILL)
        time.sleep(0.2)
        with pytest.raises(CheckFailedError, match="died of SIGKILL while waiting"):
            child.call("add", 1)
    with Child(helpers.Counter, 0, what="leaving") as child, pytest.raises(CheckFailedError, match="code 7"):
        child.call("leave")


def test_a_process_that_was_started_before(helpers: Any) -> None:
    with Started(helpers.prepare) as started:
        with Child(helpers.Counter, 3, what="counting", started=started) as child:
            child.begin("add", 2)
            assert child.answer() == 5
            assert child.call("prepared")
            pid = child.call("pid")
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_process_that_nobody_took_ends() -> None:
    with Started() as started:
        pid = started.pid
        os.kill(pid, 0)
    for _ in range(1000):
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.01)
    pytest.fail("it is still there")


def test_work_that_nobody_waits_for_any_more_is_ended(helpers: Any) -> None:
    with Child(helpers.Counter, 1, what="talking") as child:
        child.begin("talk")
        time.sleep(0.2)
        left = time.monotonic()
    assert time.monotonic() - left < 3, "it isn't waited for, not even five seconds"


def test_a_time_limit_holds_for_who_tells_something(helpers: Any) -> None:
    told: list[str] = []
    child = Child(helpers.Counter, 1, what="talking", told=told.append)
    started = time.monotonic()
    with pytest.raises(TimeLimitError, match="talking took more than 1 s"):
        child.call("talk", timeout=1)
    assert 1 <= time.monotonic() - started < 10
    assert told
