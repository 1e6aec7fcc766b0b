"""From an exception to one sentence on stderr and the process's exit code.

0 done · 1 failed · 2 usage or configuration · 3 bad, damaged or untrusted input · 4 a check failed ·
130 interrupted
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from typer import TyperException

from ..errors import ConfigError, EdgetrainError, InterruptedRun, OtherProcessError
from .text import printable
from .torchrun import follows

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True)
class Rule:
    """How exceptions of one kind are reported. Without a message, the process ends without a word.

    Attributes:
        shared: all of torchrun's processes have it alike, and the first one tells. Any other exception may
            have happened in a single process, which then has to tell itself.
    """

    matches: Callable[[BaseException], bool]
    exit_code: Callable[[BaseException], int]
    message: Callable[[BaseException], str | None]
    shared: bool = False


def report(error: BaseException, *, debug: bool = False) -> int:
    """Prints an exception for a person, with the traceback under `--debug`.

    Returns:
        the exit code of the process.
    """
    rule = next(rule for rule in RULES if rule.matches(error))
    message = None if rule.shared and follows() else rule.message(error)
    # Whoever reads stderr may be gone; the exit code still tells.
    with suppress(OSError, ValueError):
        if debug:
            traceback.print_exception(error, file=sys.stderr)
        if message is not None:
            print(f"error: {printable(message)}", file=sys.stderr, flush=True)
    if isinstance(error, BrokenPipeError):
        abandon_stdout()
    return rule.exit_code(error)


def abandon_stdout() -> None:
    """Lets the interpreter end without complaint although nobody reads stdout any more."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is(*types: type[BaseException]) -> Callable[[BaseException], bool]:
    return lambda error: isinstance(error, types)


def _always(code: int) -> Callable[[BaseException], int]:
    return lambda _: code


def _own_code(error: BaseException) -> int:
    return int(getattr(error, "exit_code", FAILED))


def _config_message(error: BaseException) -> str:
    assert isinstance(error, ConfigError)
    if len(error.problems) == 1:
        return error.problems[0]
    lines = "\n".join(f"  {problem}" for problem in error.problems)
    return f"the configuration has {len(error.problems)} problems:\n{lines}"


# Options by the names that other tools have for them.
_USUAL_NAMES = {
    "--learning-rate": "--lr",
    "--batch": "--batch-size",
    "--bs": "--batch-size",
    "--num-epochs": "--epochs",
    "--optim": "--optimizer",
    "--wd": "--weight-decay",
    "--num-threads": "--threads",
    "--dataset": "--data",
    "--data-root": "--data-dir",
    "--root": "--data-dir",
    "--arch": "--model",
    "--img-size": "--image-size",
}


def _usage_message(error: BaseException) -> str:
    assert isinstance(error, TyperException)
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", "edgetrain")
    message = error.format_message().rstrip(".")
    given = getattr(error, "option_name", "")
    meant = _USUAL_NAMES.get(given)
    if context is not None and any(meant in known.opts for known in context.command.params):
        return f"no option {given}; did you mean {meant}? See {command} --help"
    return f"{message} See {command} --help" if message.endswith("?") else f"{message}; see {command} --help"


def _out_of_memory(error: BaseException) -> bool:
    # torch's own types and messages, recognised without importing torch.
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )


def _full_disk(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _file_message(error: BaseException) -> str:
    assert isinstance(error, OSError)
    reason = error.strerror or first_line(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def _internal_message(error: BaseException) -> str:
    name = type(error).__name__
    return f"internal error: {name}: {first_line(error)}; run again with --debug for the traceback"


def first_line(error: BaseException) -> str:
    """The first line of an exception's message."""
    return next(iter(str(error).strip().splitlines()), "no message")


# The first rule that matches is taken.
RULES: tuple[Rule, ...] = (
    Rule(_is(ConfigError), _own_code, _config_message, shared=True),
    Rule(_is(InterruptedRun), _own_code, str, shared=True),
    Rule(_is(OtherProcessError), _own_code, lambda _: None),
    Rule(_is(EdgetrainError), _own_code, str),
    Rule(_is(TyperException), _own_code, _usage_message, shared=True),
    Rule(_is(KeyboardInterrupt), _always(INTERRUPTED), lambda _: "interrupted"),
    Rule(_is(BrokenPipeError), _always(FAILED), lambda _: None),
    Rule(
        _out_of_memory,
        _always(FAILED),
        lambda _: "out of memory; use a smaller batch size or a smaller model, or close other programs",
    ),
    Rule(
        _full_disk,
        _always(FAILED),
        lambda error: f"{_file_message(error)}; free some space or choose another place with -o",
    ),
    Rule(
        _is(ImportError),
        _always(FAILED),
        lambda error: f"{first_line(error)}; 'edgetrain doctor' says what to install",
    ),
    Rule(_is(OSError), _always(FAILED), _file_message),
    Rule(lambda _: True, _always(FAILED), _internal_message),
)
