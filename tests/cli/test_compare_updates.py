"""`edgetrain export --compare-updates`."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from edgetrain.artifacts.contract import Metric
from edgetrain.export.comparison import Comparison, UpdateCost
from edgetrain.factories import Trusted

ACCURACY = Metric(name="accuracy", top="correct", bottom="count", better="higher", is_share=True)
COSTS = [
    UpdateCost("head", 650, 230_000, 2_600, 2_600, 0.75),
    UpdateCost("full", 13_706, 238_000, 54_824, 54_824, 0.875),
]


@pytest.fixture
def calls(fake_stage: Any, stand_in: Any) -> list[SimpleNamespace]:
    calls: list[SimpleNamespace] = []

    def compare(config: Any, checkpoint: Any, *, trusted: Any, reporter: Any) -> Comparison:
        calls.append(SimpleNamespace(config=config, checkpoint=checkpoint, trusted=trusted))
        return Comparison(COSTS, None if config.export.calibration is None else ACCURACY)

    fake_stage("export", compare_updates=compare)
    stand_in("model.pth", "checkpoint")
    return calls


def test_table(run: Any, calls: list[SimpleNamespace], folder: Any) -> None:
    ran = run("export", "model.pth", "--compare-updates", "--model", "my.package:factory")
    assert ran.code == 0, ran.stderr
    assert calls[0].trusted == Trusted("my.package:factory")
    rows = [" ".join(line.split()) for line in ran.stdout.splitlines()]
    assert "head 650 0.230 MB 0.003 MB 0.003 MB 0.235 MB" in rows
    assert "accuracy" not in ran.stdout
    assert [path.name for path in folder.iterdir()] == ["model.pth"]


def test_what_fine_tuning_reaches(run: Any, calls: list[SimpleNamespace]) -> None:
    ran = run("export", "model.pth", "--compare-updates", "--calibration", "samples.npz")
    assert "accuracy" in ran.stdout
    assert "87.50 %" in ran.stdout


def test_json_and_plot(run: Any, calls: list[SimpleNamespace], folder: Any) -> None:
    ran = run("export", "model.pth", "--compare-updates", "--json", "--memory-plot", "updates.png")
    document = json.loads(ran.stdout)
    assert document["command"] == "export"
    assert document["memory_plot"] == "updates.png"
    assert document["updates"][0] == {
        "update": "head",
        "trained_parameters": 650,
        "activation_bytes": 230_000,
        "weight_bytes": 2_600,
        "state_bytes": 2_600,
        "figure": 0.75,
    }
    assert (folder / "updates.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("flag", ["-o", "--runner"])
def test_it_writes_no_program(run: Any, calls: list[SimpleNamespace], flag: str) -> None:
    ran = run("export", "model.pth", "--compare-updates", flag, "net")
    assert (ran.code, ran.stderr) == (2, f"error: --compare-updates writes no program; leave out {flag}\n")
    assert not calls
