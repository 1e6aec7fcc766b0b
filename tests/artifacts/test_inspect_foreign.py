"""Files of others are described without running anything in them."""

from __future__ import annotations

import argparse
import json
import pickle
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgetrain.artifacts.inspect import describe
from edgetrain.errors import InputError


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


SHAPES = {"net.0.weight": [4, 3], "net.0.bias": [4], "net.2.weight": [2, 4], "net.2.bias": [2]}


def _shapes(described: dict[str, Any], prefix: str = "") -> dict[str, list[int]]:
    return {t["name"].removeprefix(prefix): t["shape"] for t in described["tensors"]}


@pytest.mark.parametrize("old", [False, True])
def test_a_state_dict(tmp_path: Path, old: bool) -> None:
    path = tmp_path / "m.pth"
    torch.save(Net().state_dict(), path, _use_new_zipfile_serialization=not old)
    described = describe(path)
    assert (described["kind"], described["holds"]) == ("a file of torch.save", "a state_dict")
    assert _shapes(described) == SHAPES
    assert described["elements"] == 26
    assert described["next"] == f"edgetrain convert {path}"


@pytest.mark.parametrize(
    ("save", "holds"),
    [
        (lambda: torch.ones(2), "a tensor"),
        (lambda: [torch.ones(2), torch.ones(3)], "tensors without names"),
        (lambda: {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": []}, "the state of an optimizer"),
        (lambda: [], "a list of 0"),
    ],
)
def test_what_can_not_be_converted_leads_nowhere(tmp_path: Path, save: Any, holds: str) -> None:
    torch.save(save(), tmp_path / "x.pt")
    described = describe(tmp_path / "x.pt")
    assert described["holds"] == holds
    assert "next" not in described


@pytest.mark.parametrize("name", ["two words.pth", "-dash.pth"])
def test_the_next_command_can_be_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(Net().state_dict(), name)
    program, command, argument = shlex.split(describe(Path(name))["next"])
    assert (program, command, Path(argument)) == ("edgetrain", "convert", Path(name))
    assert not argument.startswith("-")


def test_a_checkpoint_of_a_script(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    args = argparse.Namespace(lr=0.1)
    torch.save({"state_dict": Net().state_dict(), "epoch": 3, "args": args, "name": "a" * 100}, path)
    described = describe(path)
    assert described["holds"] == "a checkpoint"
    assert described["entries"]["epoch"] == 3
    assert described["entries"]["args"] == "an object of argparse.Namespace"
    assert described["entries"]["name"].endswith("...")
    assert described["objects"] == {"argparse.Namespace": 1}
    assert _shapes(described, "state_dict.") == SHAPES


def test_a_whole_module_is_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.pth"
    torch.save(Net(), path)
    monkeypatch.setattr(Net, "__init__", None)
    monkeypatch.setattr(Net, "__setstate__", None)
    described = describe(path)
    assert described["holds"] == f"an object of {Net.__module__}.Net, a whole module"
    assert _shapes(described) == SHAPES


def test_tensors_of_a_module_have_the_names_of_its_state_dict(tmp_path: Path) -> None:
    """Each once, though an LSTM keeps a list of its weights; and what else the module keeps."""
    model = nn.Sequential(nn.LSTM(3, 4), nn.BatchNorm1d(4))
    model.last = torch.ones(2)
    state = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    for content, prefix in ((model, ""), ({"ema": model}, "ema.")):
        torch.save(content, tmp_path / "m.pt")
        assert _shapes(describe(tmp_path / "m.pt"), prefix) == {**state, "last": [2]}
    # Under two names, as torch.save keeps them.
    weight = torch.ones(3)
    torch.save({"a": weight, "b": weight}, tmp_path / "m.pt")
    assert _shapes(describe(tmp_path / "m.pt")) == {"a": [3], "b": [3]}


def test_torchscript(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch.jit.script(Net()).save(str(path))
    described = describe(path)
    assert described["kind"] == "a TorchScript model"
    assert described["functions"] == {"forward": "(x: Tensor) -> Tensor"}
    assert described["class"].endswith("Net")
    assert not described["for_mobile"]
    assert sorted(_shapes(described).values()) == sorted(SHAPES.values())


class Calls(nn.Module):
    """With arguments on lines of their own, a second method and a constant."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None, scale: float = 2.0) -> torch.Tensor:
        return self.shifted(x if mask is None else x * mask) * scale

    @torch.jit.export
    def shifted(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


def test_methods_and_constants_of_torchscript(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch.jit.script(Calls()).save(str(path))
    described = describe(path)
    assert described["functions"] == {
        "forward": "(x: Tensor, mask: Optional[Tensor]=None, scale: float=2.) -> Tensor",
        "shifted": "(x: Tensor) -> Tensor",
    }
    assert "constants" not in described
    fixed = torch.arange(3.0)
    torch.jit.trace(lambda x: x + fixed, torch.ones(3)).save(str(path))
    assert describe(path)["constants"] == {"0": "float32 [3]"}


def test_an_exported_program(tmp_path: Path) -> None:
    path = tmp_path / "m.pt2"
    batch = {"x": {0: torch.export.Dim("batch")}}
    torch.export.save(torch.export.export(Net(), (torch.ones(2, 3),), dynamic_shapes=batch), path)
    described = describe(path)
    assert described["operators"] == {"aten.linear.default": 2, "aten.relu.default": 1}
    assert list(described["inputs"]) == ["x"]
    assert re.fullmatch(r"float32 \[\w+, 3\]", described["inputs"]["x"])
    assert [re.sub(r"\[\w+,", "[batch,", text) for text in described["outputs"].values()] == [
        "float32 [batch, 2]"
    ]
    assert _shapes(described) == SHAPES
    assert {t["dtype"] for t in described["tensors"]} == {"float32"}
    assert (described["elements"], sum(t["bytes"] for t in described["tensors"])) == (26, 104)


def test_safetensors_its_index_and_arrays(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(Net().state_dict(), tmp_path / "a.safetensors", metadata={"format": "pt"})
    described = describe(tmp_path / "a.safetensors")
    assert _shapes(described) == SHAPES
    assert described["metadata"] == {"format": "pt"}
    index = {"weight_map": {"w": "a.safetensors", "v": "b.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    described = describe(tmp_path / "model.safetensors.index.json")
    assert _shapes(described) == SHAPES
    assert described["files"] == {"a.safetensors": 1, "b.safetensors": 1}
    assert described["missing"] == ["b.safetensors"]
    np.savez(tmp_path / "x.npz", x=np.zeros((5, 2), np.float32), y=np.arange(5))
    described = describe(tmp_path / "x.npz")
    assert [(t["name"], t["shape"], t["dtype"]) for t in described["tensors"]] == [
        ("x", [5, 2], "float32"),
        ("y", [5], "int64"),
    ]


class Bomb:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("touched"),)


@pytest.mark.promise("inspect runs nothing in a file", cases=1)
def test_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"w": torch.zeros(2), "x": Bomb()}, tmp_path / "m.pth")
    described = describe(tmp_path / "m.pth")
    assert _shapes(described) == {"w": [2]}
    assert not Path("touched").exists()


@pytest.mark.parametrize("suffix", ["pth", "pt", "pt2", "safetensors", "npz"])
def test_cut_short(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m.{suffix}"
    if suffix == "pth":
        torch.save(Net().state_dict(), path)
    elif suffix == "pt":
        torch.jit.script(Net()).save(str(path))
    elif suffix == "pt2":
        torch.export.save(torch.export.export(Net(), (torch.ones(2, 3),)), path)
    elif suffix == "npz":
        np.savez(path, x=np.zeros(100))
    else:
        from safetensors.torch import save_file

        save_file(Net().state_dict(), path)
    content = path.read_bytes()
    for share in (0.01, 0.3, 0.7):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(InputError):
            describe(path)


def test_a_plain_pickle(tmp_path: Path) -> None:
    (tmp_path / "m.pth").write_bytes(pickle.dumps({"model": {"w": np.ones((2, 3), "f4")}, "by": "somebody"}))
    found = describe(tmp_path / "m.pth")
    assert (found["kind"], found["holds"]) == (
        "a Python pickle that torch.save did not write",
        "a checkpoint",
    )
    assert found["tensors"] == [{"name": "model.w", "shape": [2, 3], "dtype": "float32", "bytes": 24}]


def test_a_pickle_without_weights(tmp_path: Path) -> None:
    """As a tokenizer's words: nothing to convert, and too much to list."""
    path = tmp_path / "words.pkl"
    path.write_bytes(pickle.dumps({f"word{i}": i for i in range(1000)}))
    found = describe(path)
    assert "next" not in found
    assert len(found["entries"]) + found["more_entries"] == 1000
    assert len(found["entries"]) < 100


@pytest.mark.parametrize(
    ("shape", "offsets"), [([9_999_999_999], [0, 8]), ([-2], [8, 0]), (["2"], [0, 8]), ([3], [0, 8])]
)
def test_safetensors_whose_sizes_make_no_sense(tmp_path: Path, shape: list[Any], offsets: list[int]) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}).encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(InputError, match="damaged"):
        describe(path)


def test_an_index_that_leads_to_itself(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"w": path.name}}))
    with pytest.raises(InputError, match="must name files that lie beside it"):
        describe(path)
