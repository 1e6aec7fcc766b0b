"""`edgetrain train`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def test_default_output_and_table(run, folder, train_calls):
    ran = run("train")
    assert ran.code == 0, ran.stderr
    assert train_calls[0].output == Path("model.pth")
    assert train_calls[0].resume is False
    assert "trained digits_cnn on digits" in ran.stdout
    assert "model.pth" in ran.stdout


def test_json(run, folder, train_calls):
    document = json.loads(run("train", "--json", "-o", "net.pth").stdout)
    assert document["schema_version"] == 1
    assert document["command"] == "train"
    assert document["checkpoint"] == "net.pth"
    assert document["val_loss"] is None
    assert len(document["history"]["epochs"]) == 2


@pytest.mark.parametrize("name", ["model.pth", "model.last.pth", "model.history.json"])
def test_existing_outputs(run, folder, train_calls, name):
    (folder / name).write_text("old")
    ran = run("train")
    assert (ran.code, ran.stderr.startswith(f"error: {name} exists already")) == (2, True)
    assert not train_calls
    for arguments in (["--force"], ["--resume"], ["-o", "model.pth"]):
        assert run("train", *arguments).code == 0
    assert [call.resume for call in train_calls] == [False, True, False]
