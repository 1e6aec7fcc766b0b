"""The table of models, from what `edgetrain check --json` says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.fidelity import BY_NAME, row, write_table

from benchmarks import fidelity
from edgetrain.checking import CheckReport


def compared(error: float | None, allowed: float = 1e-4) -> dict[str, Any]:
    right = error is not None and error <= allowed
    return {"error": error, "from_float32": error, "own": 2e-7, "allowed": allowed, "right": right}


def found(gradient: float | None) -> dict[str, Any]:
    groups = {
        "loss": {"loss of step 1": compared(1e-8)},
        "gradients": {"a": compared(3e-6), "b": compared(gradient)},
        "steps": {"change of a": compared(4e-5, 1e-3)},
        "predict": {},
    }
    run = {"runtime": "native", "kernels": "fast", "batch_size": 3, "steps": 1, "groups": groups}
    right = gradient is not None and gradient < 1e-4
    report = CheckReport(
        model="net",
        inputs={},
        task="classification",
        loss="cross_entropy",
        parameters=2,
        batch_norm="frozen",
        exports=True,
        export_seconds={"captured": 10.4, "written": 0.2},
        stock_operators=["aten::flip.out"],
        step_ms={"torch": 1000.0, "native": 456.0},
    )
    return {**report.model_dump(), "runs": [run], "right": right, "ratio": report.ratio}


def test_rows() -> None:
    entry = BY_NAME["DS-CNN"]
    name = "DS-CNN (keyword spotting)"
    assert row(entry, found(1e-6)) == [name, "yes", "3e-6", "2e-7", "4e-5", "", "0.46", 11, "flip.out"]
    assert row(entry, found(0.5))[1:3] == ["no: native (fast), batch 3: b", "5e-1"]
    assert row(entry, found(None))[1:3] == ["no: native (fast), batch 3: b", ""]
    refused = {**found(1e-6), "exports": False, "reason": "no kernel"}
    assert row(entry, refused)[:3] == [name, "no: no kernel", ""]
    assert row(entry, {"failed": "took too long"})[1] == "no: took too long"


def test_the_table_takes_the_place_of_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fidelity, "machine", dict)
    monkeypatch.setattr(fidelity, "describe", lambda _: "a machine")
    docs = tmp_path / "models.md"
    docs.write_text("before\n<!-- fidelity: begin -->\nold\n<!-- fidelity: end -->\nafter\n")
    write_table({"DS-CNN": found(1e-6), "GRU": found(1e-6)}, docs, ["--no-stock"])
    lines = docs.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")][2:] == [
        "| GRU (two layers, both directions, 100 steps)",
        "| DS-CNN (keyword spotting)",
    ]
    assert "old" not in lines
    assert "Measured by `python -m benchmarks.fidelity --flag=--no-stock` on: a machine" in lines
