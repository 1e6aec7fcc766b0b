"""Tables of figures with a bar in each row: numbers aligned by their decimal point, units once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from .markup import Markup, element

T = TypeVar("T")


@dataclass(frozen=True)
class Column(Generic[T]):
    """One figure of each row.

    Attributes:
        digits: significant ones of its smallest value,
        decimals: unless that takes more decimals than these.
        power: numbers of very different sizes, as errors are: each is written with its own power of ten.
        wide: left out where the screen is narrow.
    """

    name: str
    unit: str
    value: Callable[[T], float | None]
    digits: int = 3
    decimals: int = 4
    power: bool = False
    wide: bool = False

    def texts(self, rows: Sequence[T], alike: Sequence[T]) -> list[str]:
        """The figures of rows, with as many decimals as `alike` need."""
        values = [self.value(row) for row in rows]
        if self.power:
            return ["–" if v is None else "0" if v == 0 else f"{v:.{self.digits - 1}e}" for v in values]
        decimals = min(self.decimals, _decimals([self.value(row) for row in alike], self.digits))
        return ["–" if v is None else f"{v:.{decimals}f}" for v in values]


def bar_table(
    groups: Mapping[str, Sequence[T]],
    kind: str,
    name: Callable[[T], str],
    columns: Sequence[Column[T]],
    *,
    bar: Callable[[T], float | None],
    colour: Callable[[T], str],
    remark: Callable[[T], str] | None = None,
    most: float | None = None,
    alike: Sequence[T] | None = None,
) -> Markup:
    """A table with a heading for each group.

    Args:
        groups: rows by heading; an empty one isn't shown.
        kind: what the rows are.
        bar: its length; bars of one group compare.
        colour: the class of the row's runtime.
        remark: stands smaller beside the name.
        most: the length of a whole bar; default: the group's longest.
        alike: all rows whose figures have to have as many decimals; default: those of the table.
    """
    every = list(alike or [row for rows in groups.values() for row in rows])
    bars = any(bar(row) for rows in groups.values() for row in rows)
    heads = [
        element("th", kind, scope="col"),
        *([element("th", "", class_="bar")] if bars else []),
        *(
            element("th", c.name, element("small", c.unit) if c.unit else None, class_=_class(c), scope="col")
            for c in columns
        ),
    ]
    lines = []
    for heading, rows in groups.items():
        if heading:
            lines.append(
                element("tr", element("th", heading, colspan=len(heads), scope="rowgroup"), class_="group")
            )
        longest = most or max((bar(row) or 0 for row in rows), default=0) or 1
        texts = [column.texts(rows, every) for column in columns]
        for index, row in enumerate(rows):
            small = element("small", remark(row)) if remark else None
            cells = [element("th", _breakable(name(row)), small, scope="row")]
            if bars:
                length = 100 * (bar(row) or 0) / longest
                cells.append(element("td", _bar(length, colour(row)), class_="bar"))
            for column, text in zip(columns, texts, strict=True):
                value = column.value(row)
                exact = None if value is None else repr(float(value))
                cell = element("data", text[index], value=exact) if exact else element("span", text[index])
                cells.append(element("td", cell, class_=_class(column)))
            lines.append(element("tr", *cells))
    return element("table", element("thead", element("tr", *heads)), element("tbody", *lines))


def _bar(per_cent: float, colour: str) -> Markup:
    return element("div", class_=f"fill {colour}", style=f"width:{per_cent:.1f}%")


def _breakable(text: str) -> Markup:
    """Long names of operators may go on in the next line after these signs."""
    parts = [element("span", part) for part in text.replace("_", "_\0").replace(".", ".\0").split("\0")]
    return Markup("<wbr>".join(parts))


def _class(column: Column[T]) -> str:
    return "number wide" if column.wide else "number"


def _decimals(values: Sequence[float | None], digits: int) -> int:
    """Decimals that show the smallest value with so many digits."""
    known = [abs(value) for value in values if value]
    if not known:
        return 0
    return max(0, digits - 1 - math.floor(math.log10(min(known))))
