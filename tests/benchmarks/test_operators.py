"""The list of operators, from what was found of each."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import operators


def test_the_list_takes_the_place_of_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "machine", dict)
    monkeypatch.setattr(operators, "describe", lambda _: "a machine")
    docs = tmp_path / "models.md"
    docs.write_text("before\n<!-- operators: begin -->\nold\n<!-- operators: end -->\nafter\n")
    found = {
        "pools": {"max": operators.RIGHT, "lp": operators.RIGHT, "odd": "refused: no kernel | none"},
        "losses": {"hinge": "wrong: by 1"},
    }
    operators.write_list(found, docs)
    assert docs.read_text().splitlines() == [
        "before",
        "<!-- operators: begin -->",
        "- pools: max; lp",
        "",
        "Not so:",
        "",
        "| operator | what is said of it |",
        "| --- | --- |",
        "| odd | refused: no kernel \\| none |",
        "| hinge | wrong: by 1 |",
        "",
        "By `python -m benchmarks.operators` on: a machine",
        "<!-- operators: end -->",
        "after",
    ]


def test_every_operator_is_looked_at() -> None:
    assert {"pools", "attention", "elements", "losses"} <= set(operators.looks())
    assert not operators.describe_results({"pools": {"max": operators.RIGHT}}).count("Not so")
