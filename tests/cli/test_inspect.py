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


def test_json(run, file):
    document = json.loads(run("inspect", file, "--json").stdout)
    assert document["schema_version"] == 1
    assert document["kind"] == "checkpoint"
    assert document["tensors"] == DESCRIPTION["tensors"]


def test_missing_file(run, folder):
    ran = run("inspect", "none.pth")
    assert (ran.code, ran.stderr) == (3, "error: none.pth does not exist\n")
