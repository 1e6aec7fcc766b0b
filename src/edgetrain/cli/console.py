"""The one place that prints.

stdout carries the result of a command, as a table for people or as one JSON document for programs. stderr
carries progress and messages, which vanish where nobody watches. Commands hand over data and never print.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TextIO

from ..reporting import SILENT, Progress, Reporter

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

SCHEMA_VERSION = 1
# A pipe has no width; wide enough that paths and names stay on one line.
_PIPE_WIDTH = 200


@dataclass(frozen=True)
class Table:
    """A result for people: a title, headings (none for plain name/value rows), rows of cells, and lines of
    text below. Columns of numbers stand to the right."""

    title: str
    rows: Sequence[Sequence[Any]]
    columns: Sequence[str] = ()
    below: Sequence[str] = ()
    numbers: Sequence[str] = ()


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
            console = _console(sys.stdout)
            with console.capture() as captured:
                for index, shown in enumerate((table, *further)):
                    if index:
                        console.print()
                    # A title of the table's own would be as narrow as the table.
                    console.print(printable(shown.title), style="table.title", soft_wrap=True)
                    console.print(_rich_table(shown))
                    for line in shown.below:
                        console.print(printable(line), soft_wrap=True)
            # Where lines are kept or pasted, they end with their last letter.
            lines = captured.get().split("\n")
            sys.stdout.write("\n".join(lines if sys.stdout.isatty() else map(str.rstrip, lines)))


class TerminalReporter(Reporter):
    """Draws on stderr. Progress and info need a terminal; warnings come through unless `-q`."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._console = _console(sys.stderr)
        self._watched = sys.stderr.isatty()
        self._bars: RichProgress | None = None

    def info(self, message: str) -> None:
        if not self._quiet and (self._verbose or self._watched):
            self._print(message)

    def detail(self, message: str) -> None:
        if self._verbose:
            self._print(message, style="dim")

    def warn(self, message: str) -> None:
        if not self._quiet:
            self._print(f"warning: {message}", style="yellow")

    @contextmanager
    def progress(self, description: str, total: int | None = None) -> Iterator[Progress]:
        if self._quiet or not self._watched:
            yield Progress()
            return
        with self._shared_bars() as bars:
            task = bars.add_task(printable(description), total=total, fields_text="")
            try:
                yield _Bar(bars, task)
            finally:
                bars.remove_task(task)

    @contextmanager
    def _shared_bars(self) -> Iterator[RichProgress]:
        """One live display for all bars: a terminal can't hold two, and stages may nest theirs."""
        if self._bars is not None:
            yield self._bars
            return
        with _live_bars(self._console) as self._bars:
            try:
                yield self._bars
            finally:
                self._bars = None

    def _print(self, message: str, style: str | None = None) -> None:
        self._console.print(printable(message), style=style, markup=False, highlight=False, soft_wrap=True)


class _Bar(Progress):
    """One line of the live display."""

    def __init__(self, bars: RichProgress, task: TaskID) -> None:
        self._bars = bars
        self._task = task

    def advance(self, steps: int = 1, **fields: float | str) -> None:
        update = {"fields_text": _fields_text(fields)} if fields else {}
        self._bars.update(self._task, advance=steps, **update)  # type: ignore[arg-type]


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


def printable(text: str) -> str:
    """Text from files and errors without control characters, which could rewrite the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def size_text(count: int) -> str:
    """A number of bytes for people."""
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def number_text(value: float | None, digits: int = 4) -> str:
    """A measured number for people; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}g}"


def percent_text(share: float | None) -> str:
    """A share of 1 as per cent; a dash where there is none."""
    return "–" if share is None else f"{100 * share:.2f} %"


def figure_text(value: float | None, *, is_share: bool) -> str:
    """A metric for people."""
    return percent_text(value) if is_share else number_text(value)


def file_text(path: PurePath | None) -> str:
    """A file's path, with its size where it exists."""
    from pathlib import Path

    if path is None:
        return "–"
    try:
        return f"{path}  ({size_text(Path(path).stat().st_size)})"
    except OSError:
        return str(path)


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


def _rich_table(table: Table) -> Any:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(
        box=box.SIMPLE_HEAD if table.columns else box.SIMPLE,
        show_header=bool(table.columns),
    )
    for heading in table.columns or [""] * max((len(row) for row in table.rows), default=1):
        drawn.add_column(heading, overflow="fold", justify="right" if heading in table.numbers else "left")
    for row in table.rows:
        drawn.add_row(*(Text(printable(_cell(cell))) for cell in row))
    return drawn


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_cell, value))
    return str(value)


def _live_bars(console: Console) -> RichProgress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[fields_text]}", markup=False),
        console=console,
        transient=True,
        # stdout belongs to the result; a library that prints there must not end up in the bars.
        redirect_stdout=False,
    )


def _fields_text(fields: Mapping[str, float | str]) -> str:
    pairs: Iterable[str] = (
        f"{name}={number_text(value) if isinstance(value, float) else value}"
        for name, value in fields.items()
    )
    return printable(" ".join(pairs))
