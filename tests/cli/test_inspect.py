"""`edgetrain inspect`."""

from __future__ import annotations

import json

import pytest

DESCRIPTION = {
    "kind": "checkpoint",
    "schema_version": 9,
    "model": {"name": "mlp", "args": {}},
    "classes": ["0", "1"],
    "tensors": [{"name": "fc.weight\x1b[2J", "shape": [10, 2], "dtype": "float32", "bytes": 80}],
}


@pytest.fixture
def file(fake_stage, folder):
    fake_stage("artifacts.inspect", describe=lambda path: DESCRIPTION)
    (folder / "model.pth").write_text("x")
    return "model.pth"


def test_table(run, file):
    ran = run("inspect", file)
    assert ran.code == 0, ran.stderr
    for text in ("model.pth: checkpoint", "model.name", "mlp", '["0", "1"]', "float32 [10, 2]  bytes=80"):
        assert text in ran.stdout
    assert "\x1b" not in ran.stdout


def test_memory_of_a_program(run, fake_stage, file):
    memory = {
        "bound": 1_200_000,
        "peak": "relu of act\x1b[2J",
        "tensors": [
            {"maker": "mm of head", "kind": "saved", "shape": [8, 4], "dtype": "float32", "bytes": 900_000}
        ],
        "stretches": [
            {"operator": "convolution", "bytes": 600_000},
            {"operator": "relu", "bytes": 1_200_000},
        ],
    }
    told = {
        **DESCRIPTION,
        "methods": {"train": {"operators": 2, "memory": memory}, "predict": {"memory": None}},
    }
    fake_stage("artifacts.inspect", describe=lambda path: told)
    ran = run("inspect", file)
    lines = [line.strip() for line in ran.stdout.splitlines()]
    assert ["methods.train.memory.bound", "1200000"] in [line.split() for line in lines]
    assert any(line.startswith("relu            1.200 MB ██") and line.endswith("◀") for line in lines)
    assert "0.900 MB 8x4 float32, mm of head (saved)" in lines
    assert "\x1b" not in ran.stdout
    document = json.loads(run("inspect", file, "--json").stdout)
    assert document["methods"]["train"]["memory"] == memory


def test_what_was_done_to_a_model(run, fake_stage, file):
    replaced = [{"kind": "replaced_layer", "module": f"act{i}"} for i in range(5)]
    told = {
        "kind": "edgetrain.checkpoint",
        "transforms": [{"kind": "graph", "calls": {"Conv2d": 2, "aten.view.default": 1}}, *replaced],
    }
    fake_stage("artifacts.inspect", describe=lambda path: told)
    rows = [line.split(None, 1) for line in run("inspect", file).stdout.splitlines() if "transforms" in line]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["transforms.graph", "2 Conv2d, 1 view.default"],
        ["transforms.replaced_layer", "5: act0, act1, act2, ..."],
    ]
    assert len(json.loads(run("inspect", file, "--json").stdout)["transforms"]) == 6


def test_json(run, file):
    document = json.loads(run("inspect", file, "--json").stdout)
    assert document["schema_version"] == 1
    assert document["kind"] == "checkpoint"
    assert document["tensors"] == DESCRIPTION["tensors"]


def test_missing_file(run, folder):
    ran = run("inspect", "none.pth")
    assert (ran.code, ran.stderr) == (3, "error: none.pth does not exist\n")
