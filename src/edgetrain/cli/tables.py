"""Tables of results, and what becomes of them where a terminal is too narrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .text import number_text, printable, wrapped

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Table:
    """A result for people: a title, headings (none for plain name/value rows), rows of cells, and lines of
    text below. Columns of numbers stand to the right."""

    title: str
    rows: Sequence[Sequence[Any]]
    columns: Sequence[str] = ()
    below: Sequence[str] = ()
    numbers: Sequence[str] = ()


def print_table(console: Console, table: Table, *, width: int | None) -> None:
    """Prints a table with its title and what is below.

    Args:
        width: of the terminal; None where nothing limits a line. A table that is wider is printed as records,
            one row under another, so that no word and no number is cut.
    """
    _print(console, printable(table.title), width, style="table.title")
    rows = [[printable(_cell(cell)) for cell in row] for row in table.rows]
    if rows:
        _print_rows(console, table, rows, width)
    for line in table.below:
        _print(console, printable(line), width)


def _print_rows(console: Console, table: Table, rows: Sequence[Sequence[str]], width: int | None) -> None:
    drawings = (_drawn(table, rows, tight=tight) for tight in (False, True))
    fitting = (drawn for drawn in drawings if width is None or _natural_width(console, drawn) <= width)
    drawn = next(fitting, None)
    if drawn is not None:
        console.print(drawn)
    elif width is not None:
        console.print()
        for line in _records(table.columns, rows, width):
            console.print(line, soft_wrap=True)
        console.print()


def _print(console: Console, text: str, width: int | None, style: str | None = None) -> None:
    # Not by Rich, which breaks long words.
    console.print(wrapped(text, width), style=style, soft_wrap=True)


def _drawn(table: Table, rows: Sequence[Sequence[str]], *, tight: bool) -> Any:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(
        box=box.SIMPLE_HEAD if table.columns else box.SIMPLE,
        show_header=bool(table.columns),
        collapse_padding=tight,
    )
    for heading in table.columns or [""] * max((len(row) for row in rows), default=1):
        drawn.add_column(heading, overflow="fold", justify="right" if heading in table.numbers else "left")
    for row in rows:
        drawn.add_row(*map(Text, row))
    return drawn


def _natural_width(console: Console, drawn: Any) -> int:
    """The columns that a table takes where nothing in it is wrapped."""
    return int(drawn.__rich_measure__(console, console.options.update(max_width=10_000)).maximum)


def _records(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """The rows, one under another. Where the first column names them, its cell is a record's heading."""
    if not columns:
        yield from _entries([(row[0], " ".join(row[1:])) for row in rows], width)
        return
    headings = [heading.replace("\n", " ") for heading in columns]
    for number, row in enumerate(rows):
        if number:
            yield ""
        entries = [(heading, cell) for heading, cell in zip(headings, row, strict=True) if cell]
        if not headings[0]:
            yield from wrapped(f"  {row[0]}", width).split("\n")
            entries = [(f"  {heading}", cell) for heading, cell in entries[1:]]
        yield from _entries(entries, width)


def _entries(entries: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    """Names with their values behind them, or below where those have words too long for that."""
    column = max((len(name) for name, _ in entries), default=0) + 4
    for name, value in entries:
        room = width - column
        if max((len(word) for word in value.split()), default=0) > room or room < width // 3:
            yield f"  {name}"
            yield from wrapped(f"    {value}", width).split("\n")
        else:
            first, *others = wrapped(value, room).split("\n")
            yield f"  {name}".ljust(column) + first
            yield from (" " * column + line.lstrip() for line in others)


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
