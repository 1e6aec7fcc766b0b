"""Bars in a terminal: what they count, and the time that is left."""

from __future__ import annotations

import re
import sys

import pytest
from terminals import Terminal

from edgetrain.cli.bars import duration_text

WORK = """
import time
from edgetrain.cli.console import TerminalReporter
from edgetrain.reporting import Piece
reporter = TerminalReporter()
with reporter.progress("training", [Piece("train", 3), Piece("validate")] * 2) as parts:
    for epoch in (1, 2):
        with reporter.progress(f"epoch {epoch}/2", total=10) as steps:
            for step in range(10):
                time.sleep(0.05)
                steps.advance(loss=0.5, lr=0.125)
        parts.advance()
        with reporter.progress("validation", total=2) as steps:
            for _ in range(2):
                time.sleep(0.1)
                steps.advance()
        parts.advance()
        reporter.epoch(f"epoch {epoch}/2: loss 0.3102, accuracy 91.25%, validation loss 0.3411, 1.2 s")
"""


@pytest.mark.parametrize("columns", [120, 80, 40])
def test_bars_of_every_width(columns):
    seen = Terminal([sys.executable, "-c", WORK], columns=columns, piped=True).end()
    assert seen.code == 0, seen.raw
    lines = [line.rstrip() for line in seen.lines]
    assert all(len(line) <= columns for line in lines)
    whole = [line for line in lines if line.startswith("training")]
    assert any(re.search(r"\b0:0[01] left", line) for line in whole), "also over what is to come"
    shares = [int(found[1]) for line in whole if (found := re.search(r"(\d+) %", line))]
    assert shares == sorted(shares)
    assert len(set(shares)) > 5
    assert any("epoch 2/2" in line and "/10" in line and " left" in line for line in lines)
    assert ("━" in seen.raw) == (columns >= 80)
    if columns == 120:
        assert any("loss=0.5 lr=0.125" in line for line in lines)


@pytest.mark.parametrize(("columns", "count"), [(120, 1), (40, 2)])
def test_the_line_of_an_epoch_ends_between_words(columns, count):
    lines = [line.rstrip() for line in Terminal([sys.executable, "-c", WORK], columns=columns).end().lines]
    first = next(index for index, line in enumerate(lines) if line.startswith("epoch 1/2: loss"))
    shown = lines[first : first + count]
    assert all(len(line) <= columns for line in shown)
    assert " ".join(map(str.strip, shown)).endswith("0.3411, 1.2 s")


def test_durations():
    found = [duration_text(seconds) for seconds in (None, 0.2, 12, 59.9, 3723)]
    assert found == ["–", "0:00", "0:12", "1:00", "1:02:03"]
