"""What can go wrong, as types that carry their exit code.

Any part of edgetrain raises these with one clear sentence that says what to do next; the command line
turns them into a line on stderr and the process's exit code (see `cli/errors.py`).
"""

from __future__ import annotations

import shlex
from pathlib import Path


class EdgetrainError(Exception):
    """A failure that is understood. `str(error)` is one sentence for the user."""

    exit_code = 1


class UsageError(EdgetrainError):
    """The command line or the configuration asks for something impossible."""

    exit_code = 2


class ConfigError(UsageError):
    """One or more configuration values are wrong; `problems` lists all of them, one line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class InputError(EdgetrainError):
    """An input file or data set is missing, damaged, untrusted or does not fit."""

    exit_code = 3


class CheckFailedError(EdgetrainError):
    """A check failed: gradients differ from PyTorch, the loss is not finite, a threshold was missed."""

    exit_code = 4


class OtherProcessError(EdgetrainError):
    """Another process of the same run (torchrun) failed, and tells why itself."""


class InterruptedRun(EdgetrainError):  # noqa: N818 - an interruption is not an error
    """Ctrl-C or SIGTERM: the state was saved and the run can be resumed."""

    exit_code = 130


def as_argument(path: Path) -> str:
    """A file as a command line in a sentence names it, ready to be copied into a shell."""
    text = shlex.quote(str(path))
    return f"./{text}" if str(path).startswith("-") else text
