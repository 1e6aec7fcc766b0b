"""Reports, predictions and configurations are known for what they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgetrain.artifacts.inspect import describe
from edgetrain.artifacts.optimization import Measured, OptimizationReport, save_report
from edgetrain.checking.report import CheckReport
from edgetrain.config.strict_yaml import read_yaml
from edgetrain.errors import InputError
from edgetrain.predicting.report import save_predictions

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


def test_a_check_report(tmp_path: Path) -> None:
    report = CheckReport(
        model="m", inputs={}, task="classification", loss="x", parameters=3, batch_norm="frozen", exports=True
    )
    document = {"schema_version": 1, "command": "check", "right": True, **report.model_dump(mode="json")}
    (tmp_path / "c.json").write_text(json.dumps(document))
    told = describe(tmp_path / "c.json")
    assert (told["kind"], told["model"], told["parameters"]) == ("edgetrain check report", "m", 3)


def test_an_optimization_report(tmp_path: Path) -> None:
    measured = Measured(
        step="as it came",
        figures={"accuracy": 0.5},
        parameters=3,
        zeros=0,
        multiply_adds=2,
        program_bytes=9,
        latency_ms=0.1,
    )
    report = OptimizationReport(steps=[measured], details={}, config={})
    save_report(tmp_path / "m.optimize.json", report)
    told = describe(tmp_path / "m.optimize.json")
    assert told["kind"] == "edgetrain optimization report"
    assert list(told["steps"][0].items())[:3] == [
        ("step", "as it came"),
        ("accuracy", 0.5),
        ("parameters", 3),
    ]


def test_predictions(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    save_predictions(
        path,
        [
            {"sample": "a", "class": "cat", "right": True},
            {"sample": "b", "class": "dog", "right": False},
            {"sample": "c", "class": "cat", "right": True},
            {"sample": "d", "class": "cat", "right": True},
        ],
    )
    assert describe(path) == {
        "kind": "predictions",
        "samples": 4,
        "columns": ["sample", "class", "right"],
        "predicted": {"cat": 3, "dog": 1},
        "accuracy": 0.75,
    }
    save_predictions(path, [{"sample": "a", "output": 0.5}])
    assert describe(path) == {"kind": "predictions", "samples": 1, "columns": ["sample", "output"]}
    path.write_text("name,age\nx,1\n")
    with pytest.raises(InputError, match="none that 'edgetrain predict -o' wrote"):
        describe(path)
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match=r"can't read .*p\.csv"):
        describe(path)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_configurations_of_the_repository(path: Path) -> None:
    told = describe(path)
    assert told.pop("kind") == "configuration"
    assert told == read_yaml(path)


def test_configurations(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("data:\n  name: digits\ntrain: {epochs: 3}\n")
    assert describe(path) == {"kind": "configuration", "data": {"name": "digits"}, "train": {"epochs": 3}}
    path.write_text("- 1\n- 2\n")
    with pytest.raises(InputError, match="holds no sections"):
        describe(path)
    path.write_text("a: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(InputError, match=r"c\.yaml"):
        describe(path)
