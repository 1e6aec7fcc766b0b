"""The command line as it was typed, for reports that tell what made them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextvars import ContextVar

_arguments: ContextVar[Sequence[str]] = ContextVar("arguments", default=())


def remember(arguments: Sequence[str]) -> None:
    """Called once for each command line, without the program's name."""
    _arguments.set(tuple(arguments))


def typed() -> str:
    """The whole line, quoted as a shell needs it."""
    return shlex.join(["edgetrain", *_arguments.get()])
