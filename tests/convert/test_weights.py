"""Weights wherever a checkpoint has them, and tensors that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgetrain.artifacts.inspect import describe
from edgetrain.artifacts.unpickling import read_torch_file
from edgetrain.convert.weights import find_weights
from edgetrain.errors import InputError, UsageError


def _read(content: Any, path: Path) -> Any:
    torch.save(content, path)
    return read_torch_file(path)


def test_weights_in_lists(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    read = _read({"net": {"stages": [model]}}, tmp_path / "net.pth")
    found = find_weights(read, "net.pth")
    assert found.entry == "net.stages.0"
    assert torch.equal(found.state["weight"], model.weight)
    read = _read({"models": [model.state_dict(), nn.Linear(3, 2).state_dict()]}, tmp_path / "two.pth")
    with pytest.raises(UsageError, match=r"models\.0, models\.1; choose"):
        find_weights(read, "two.pth")
    assert torch.equal(find_weights(read, "two.pth", "models.0").state["bias"], model.bias)


def test_lists_are_no_rival_of_an_entry(tmp_path: Path) -> None:
    content = {"mine": nn.Linear(3, 2).state_dict(), "epochs": [{"loss.value": torch.ones(1)}]}
    assert find_weights(_read(content, tmp_path / "net.pth"), "net.pth").entry == "mine"


class Settings(dict[str, Any]):
    """As of libraries for settings, whose dictionaries have a class of their own."""


@pytest.mark.parametrize("around", [Settings, lambda state: {"state_dict": Settings(state)}])
def test_weights_in_dictionaries_of_another_class(tmp_path: Path, around: Any) -> None:
    model = nn.Linear(3, 2)
    path = tmp_path / "net.pth"
    found = find_weights(_read(around(model.state_dict()), path), "net.pth")
    assert {name: tensor.tolist() for name, tensor in found.state.items()} == {
        "weight": model.weight.tolist(),
        "bias": model.bias.tolist(),
    }
    assert len(describe(path)["tensors"]) == 2


def test_measurements_are_no_rival_of_weights(tmp_path: Path) -> None:
    content = {"mine": nn.Linear(3, 2).state_dict(), "metrics": {"loss": torch.tensor(1.0)}}
    assert find_weights(_read(content, tmp_path / "net.pth"), "net.pth").entry == "mine"


@pytest.mark.parametrize("partly", [False, True])
def test_tensors_without_numbers(tmp_path: Path, partly: bool) -> None:
    state = nn.Linear(3, 2, device="meta").state_dict()
    if partly:
        state["bias"] = torch.zeros(2)
    with pytest.raises(InputError, match="shapes without numbers"):
        find_weights(_read(state, tmp_path / "net.pth"), "net.pth")
    beside = {"state_dict": nn.Linear(3, 2).state_dict(), "template": state}
    assert find_weights(_read(beside, tmp_path / "net.pth"), "net.pth").entry == "state_dict"
