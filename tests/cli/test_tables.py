"""Tables of results in terminals of all widths."""

from __future__ import annotations

import sys

import pytest
from terminals import Terminal

CONVERTED = """
from edgetrain.cli.console import Output
from edgetrain.cli.tables import Table
columns = ("file", "format", "result", "size", "load [ms]", "latency [ms]", "max error", "top-1")
rows = [
    ("/models/resnet18.pt", "TorchScript", "out/resnet18.pte: xnnpack", "44.7 MiB → 44.6 MiB", "120 → 3.1",
     "33.1 → 21.0", 1.2e-6, "91.23 %"),
    ("b.pt", "checkpoint", "b.pte: portable", "1.0 KiB → 2.0 KiB", "5 → 1", "2 → 1", None, None),
]
Output().result(
    Table("converted 2 of 2", rows, columns, below=["  b.pt: a note longer than a line of a narrow one"]),
    {},
    Table("fine-tuned", [("loss", "2.312", "0.123"), ("weights", "", "a.ptd")], ("", "before", "after")),
    Table("trained", [("validation accuracy", "91.23 %"), ("checkpoint", "runs/model.pth  (1.2 MiB)")]),
)
"""
# Whatever the width, each of these is in one piece.
PIECES = (
    *("44.7 MiB", "44.6 MiB", "1.2e-06", "91.23 %", "1.2 MiB", "120", "2.312", "0.123"),
    *("/models/resnet18.pt", "TorchScript", "out/resnet18.pte:", "xnnpack", "runs/model.pth"),
)


@pytest.mark.parametrize("columns", [200, 80, 40, 24])
def test_nothing_is_cut(columns):
    seen = Terminal([sys.executable, "-c", CONVERTED], columns=columns).end()
    assert seen.code == 0, seen.raw
    lines = seen.lines
    assert max(map(len, lines)) <= columns
    assert [piece for piece in PIECES if not any(piece in line for line in lines)] == []
    assert any("file" in line and "format" in line for line in lines) == (columns == 200)


def test_a_record_has_the_name_of_its_row():
    lines = Terminal([sys.executable, "-c", CONVERTED], columns=24).end().lines
    start = lines.index("fine-tuned")
    assert [line.split() for line in lines[start + 2 : start + 8]] == [
        ["loss"],
        ["before", "2.312"],
        ["after", "0.123"],
        [],
        ["weights"],
        ["after", "a.ptd"],
    ]


WIDE = """
from edgetrain.cli.console import Output
from edgetrain.cli.tables import Table
Output().result(Table("t", [("x" * 20, "1.25", "2.5")], ("name", "first", "second")), {})
"""


@pytest.mark.parametrize(("columns", "form"), [(60, "table"), (39, "tight"), (34, "records")])
def test_columns_move_closer_first(columns, form):
    lines = Terminal([sys.executable, "-c", WIDE], columns=columns).end().lines
    line = next(line for line in lines if "x" * 20 in line)
    if form == "records":
        assert line.split() == ["name", "x" * 20]
    else:
        assert line.split() == ["x" * 20, "1.25", "2.5"]
        assert ("x" * 20 + " " * 3 in line) == (form == "table")
