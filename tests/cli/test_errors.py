"""Every kind of exception has its exit code and its sentence."""

from __future__ import annotations

import errno
import io
import sys

import pytest

from edgetrain.cli.errors import report
from edgetrain.errors import (
    CheckFailedError,
    ConfigError,
    EdgetrainError,
    InputError,
    InterruptedRun,
    OtherProcessError,
    UsageError,
)


class OutOfMemoryError(RuntimeError):
    """As torch.cuda names its own."""


CASES = [
    (EdgetrainError("it failed"), 1, "error: it failed\n"),
    (UsageError("wrong use"), 2, "error: wrong use\n"),
    (ConfigError(["a: bad"]), 2, "error: a: bad\n"),
    (ConfigError(["a: bad", "b: bad"]), 2, "error: the configuration has 2 problems:\n  a: bad\n  b: bad\n"),
    (InputError("damaged"), 3, "error: damaged\n"),
    (CheckFailedError("gradients differ"), 4, "error: gradients differ\n"),
    (InterruptedRun("saved"), 130, "error: saved\n"),
    (KeyboardInterrupt(), 130, "error: interrupted\n"),
    (BrokenPipeError(), 1, ""),
    (
        MemoryError(),
        1,
        "error: out of memory; use a smaller batch size or a smaller model, or close other programs\n",
    ),
    (
        OutOfMemoryError("CUDA out of memory. Tried to ..."),
        1,
        "error: out of memory; use a smaller batch size or a smaller model, or close other programs\n",
    ),
    (
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        1,
        "error: out of memory; use a smaller batch size or a smaller model, or close other programs\n",
    ),
    (
        OSError(errno.ENOSPC, "No space left on device", "out.pth"),
        1,
        "error: out.pth: No space left on device; free some space or choose another place with -o\n",
    ),
    (PermissionError(errno.EACCES, "Permission denied", "x"), 1, "error: x: Permission denied\n"),
    (OSError("odd"), 1, "error: odd\n"),
    (
        ModuleNotFoundError("No module named 'torch'"),
        1,
        "error: No module named 'torch'; 'edgetrain doctor' says what to install\n",
    ),
    (
        ZeroDivisionError("division by zero\nand more"),
        1,
        "error: internal error: ZeroDivisionError: division by zero; "
        "run again with --debug for the traceback\n",
    ),
    (
        AssertionError(),
        1,
        "error: internal error: AssertionError: no message; run again with --debug for the traceback\n",
    ),
]


@pytest.mark.parametrize(("error", "code", "message"), CASES, ids=lambda case: type(case).__name__)
def test_code_and_message(train_calls, fake_stage, folder, run, monkeypatch, error, code, message):
    monkeypatch.setattr("edgetrain.cli.errors.abandon_stdout", lambda: None)

    def fail(*_, **__):
        raise error

    fake_stage("training", train=fail)
    ran = run("train", "--json")
    assert (ran.code, ran.stdout, ran.stderr) == (code, "", message)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConfigError(["a: bad"]), ("0",)),
        (InterruptedRun("saved"), ("0",)),
        (OtherProcessError("process 0 failed"), ()),
        (InputError("damaged"), ("0", "1")),
        (ValueError("odd"), ("0", "1")),
    ],
)
def test_under_torchrun_what_all_have_is_told_once(monkeypatch, capsys, error, told):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        code = report(error)
        assert code == getattr(error, "exit_code", 1)
        assert bool(capsys.readouterr().err) == (rank in told)


@pytest.mark.parametrize("error", [InputError("damaged"), ValueError("odd"), KeyboardInterrupt()])
def test_debug_shows_the_traceback(fake_stage, folder, run, error):
    def fail(*_, **__):
        raise error

    fake_stage("training", train=fail)
    ran = run("train", "--debug")
    assert "Traceback (most recent call last)" in ran.stderr
    assert ran.stderr.splitlines()[-1].startswith("error: ")


def test_debug_reaches_errors_before_a_command_runs(run):
    assert "Traceback" in run("train", "--epoch", "1", "--debug").stderr


def test_a_closed_stderr_does_not_hide_the_exit_code(monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    assert report(InputError("damaged"), debug=True) == 3


def test_messages_hold_no_control_characters(capsys):
    report(InputError("file '\x1b[2J' is damaged"))
    assert capsys.readouterr().err == "error: file '\\x1b[2J' is damaged\n"
