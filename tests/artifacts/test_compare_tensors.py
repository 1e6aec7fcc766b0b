"""Two files of tensors beside each other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from edgetrain.artifacts.compare_tensors import compare_tensors
from edgetrain.errors import InputError


def _state() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "conv.weight": torch.randn(4, 3, generator=generator),
        "conv.bias": torch.randn(4, generator=generator),
        "count": torch.tensor(7),
        "odd": torch.tensor([float("nan"), float("inf")]),
    }


def _prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in _state().items()}


@pytest.mark.parametrize(
    ("payload", "left_off"),
    [
        (_state(), None),
        ({"state_dict": _state(), "epoch": 3}, "state_dict."),
        (
            {"model": _prefixed("module."), "optimizer": {"state": {0: {"step": torch.ones(1)}}}},
            "model.module.",
        ),
    ],
    ids=["plain", "checkpoint", "with an optimizer"],
)
@pytest.mark.parametrize("other", ["pth", "safetensors", "npz"])
def test_equal_weights(payload: Any, left_off: str | None, other: str, tmp_path: Path) -> None:
    first, second = tmp_path / "a.pth", tmp_path / f"b.{other}"
    torch.save(payload, first)
    if other == "pth":
        torch.save({"ema": _prefixed("net.")}, second)
    elif other == "npz":
        np.savez(second, **{name: tensor.numpy() for name, tensor in _state().items()})
    else:
        save_file(_state(), second)
    found = compare_tensors(first, second)
    assert (found["equal"], found["differing"], found["other_shapes"]) == (4, [], {})
    assert found["only_in_second"] == []
    assert all("optimizer" in name for name in found["only_in_first"])
    expected = {str(first): left_off} if left_off else {}
    assert found["left_off"] == (expected | {str(second): "ema.net."} if other == "pth" else expected)


def test_differences(tmp_path: Path) -> None:
    state = _state()
    changed = {**state, "conv.bias": state["conv.bias"].clone(), "count": torch.tensor(7.0)}
    changed["conv.bias"][2] += 0.5
    changed["conv.weight"] = torch.ones(4, 2)
    changed["odd"] = torch.tensor([0.0, float("inf")])
    del changed["count"]
    changed["new"] = torch.ones(1)
    torch.save(state, tmp_path / "a.pth")
    torch.save(changed, tmp_path / "b.pth")
    command = [sys.executable, "-m", "edgetrain", "inspect", "a.pth", "b.pth"]
    ran = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True, cwd=tmp_path)
    found = json.loads(ran.stdout)
    assert found["only_in_first"] == ["count"]
    assert found["only_in_second"] == ["new"]
    assert found["other_shapes"] == {"conv.weight": [[4, 3], [4, 2]]}
    assert found["equal"] == 0
    odd, bias = found["differing"]
    assert odd["name"] == "odd"
    assert bias["largest"] == pytest.approx(0.5)
    assert bias["relative"] == pytest.approx(0.5 / state["conv.bias"].abs().max().item())
    text = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert "conv.bias" in text
    assert "differs by 0.5" in text


def test_other_files(tmp_path: Path) -> None:
    torch.save(_state(), tmp_path / "a.pth")
    (tmp_path / "b.gguf").write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(InputError, match=r"is a GGUF model.*; inspect compares files of torch\.save"):
        compare_tensors(tmp_path / "a.pth", tmp_path / "b.gguf")
