"""The one place that prints.

stdout carries the result of a command, as a table for people or as one JSON document for programs. stderr
carries progress and messages, which vanish where nobody watches. Commands hand over data and never print.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TextIO

from ..reporting import SILENT, Piece, Progress, Reporter
from .bars import Bars
from .tables import Table, print_table
from .text import printable, wrapped

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA_VERSION = 1
# A pipe has no width; wide enough that paths and names stay on one line.
_PIPE_WIDTH = 200


class Output:
    """Knows who reads: a person at a terminal, a program (`--json`), a quiet or a curious user."""

    def __init__(
        self, *, as_json: bool = False, quiet: bool = False, verbose: bool = False, mute: bool = False
    ) -> None:
        """
        Args:
            mute: another process of the same run does the talking.
        """
        self.as_json = as_json
        self.mute = mute
        self.reporter: Reporter = SILENT if mute else TerminalReporter(quiet=quiet, verbose=verbose)

    def result(self, table: Table, data: Mapping[str, Any], *further: Table) -> None:
        """Prints the result: `table` and what follows it, or with `--json` `data` as one document with a
        `schema_version`."""
        if self.mute:
            return
        if self.as_json:
            document = {"schema_version": SCHEMA_VERSION} | plain(data) | {"schema_version": SCHEMA_VERSION}
            sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")
        else:
            watched = sys.stdout.isatty()
            console = _console(sys.stdout)
            with console.capture() as captured:
                for index, shown in enumerate((table, *further)):
                    if index:
                        console.print()
                    print_table(console, shown, width=console.width if watched else None)
            # Where lines are kept or pasted, they end with their last letter.
            lines = captured.get().split("\n")
            sys.stdout.write("\n".join(lines if watched else map(str.rstrip, lines)))


class TerminalReporter(Reporter):
    """Draws on stderr. Progress and info need a terminal; epochs and warnings come through unless `-q`."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._console = _console(sys.stderr)
        self._watched = sys.stderr.isatty()
        self._bars = Bars(self._console)

    def info(self, message: str) -> None:
        if not self._quiet and (self._verbose or self._watched):
            self._print(message)

    def epoch(self, message: str) -> None:
        if not self._quiet:
            self._print(wrapped(message, self._console.width if self._watched else None))

    def detail(self, message: str) -> None:
        if self._verbose:
            self._print(message, style="dim")

    def warn(self, message: str) -> None:
        if not self._quiet:
            self._print(f"warning: {message}", style="yellow")

    @contextmanager
    def progress(self, description: str, total: int | Sequence[Piece] | None = None) -> Iterator[Progress]:
        if self._quiet or not self._watched:
            yield Progress()
            return
        with self._bars.bar(description, total) as bar:
            yield bar

    def _print(self, message: str, style: str | None = None) -> None:
        self._console.print(printable(message), style=style, markup=False, highlight=False, soft_wrap=True)


def plain(value: Any) -> Any:
    """The value in JSON's types: paths as text, NaN and infinities (which JSON lacks) as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json"))
    return str(value)


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)
