"""`export` of weights that are no checkpoint of edgetrain."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

_CODE = """
from torch import nn
def net():
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
"""


def _edgetrain(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgetrain", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(_CODE)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    torch.save(model.state_dict(), tmp_path / "net.pth")
    return tmp_path


def test_what_is_missing_is_named(weights: Path) -> None:
    refused = _edgetrain(weights, "export", "net.pth")
    assert refused.returncode == 3
    assert "edgetrain convert net.pth --to pth --model NAME --input-shape C,H,W" in refused.stderr
    finetuned = _edgetrain(weights, "finetune", "net.pth")
    assert finetuned.returncode == 3
    assert "edgetrain did not write" in finetuned.stderr
    assert "bring it over first: edgetrain convert net.pth --to train" in finetuned.stderr


@pytest.mark.thorough
def test_weights_with_model_and_shape(weights: Path) -> None:
    shape = ("--input-shape", "4")
    unnamed = _edgetrain(weights, "export", "net.pth", *shape)
    assert unnamed.returncode == 2
    assert "add --model NAME" in unnamed.stderr
    done = _edgetrain(
        weights, "export", "net.pth", *shape, "--model", "own:net", "--max-batch-size", "3", "--json"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["conversion"]
    assert found["outputs"] == ["net.pte", "net.ptd", "net.json"]
    assert (found["batch"], found["source"]) == (3, "net.pth")
    assert found["gradient_error"] < 1e-4
    manifest = json.loads((weights / "net.json").read_text())
    assert manifest["model"]["name"] == "own:net"
