"""Folders: what a library saved there, checkpoints in several files, and files of any kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from edgetrain.artifacts.compare_tensors import compare_tensors
from edgetrain.artifacts.inspect import describe
from edgetrain.errors import InputError

STATE = {"fc.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.ones(2, dtype=torch.float16)}
ROWS = {"fc.weight": ([2, 3], "float32", 24), "fc.bias": ([2], "float16", 4)}


def _rows(described: dict[str, Any]) -> dict[str, tuple[list[int], str, int]]:
    return {t["name"]: (t["shape"], t["dtype"], t["bytes"]) for t in described["tensors"]}


def _in_parts(folder: Path) -> None:
    for index, (name, tensor) in enumerate(STATE.items()):
        save_file({name: tensor}, folder / f"model-{index}.safetensors")
    weight_map = {name: f"model-{index}.safetensors" for index, name in enumerate(STATE)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_what_save_pretrained_wrote(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "architectures": ["BertModel"]}))
    (tmp_path / "training_args.bin").write_bytes(b"anything")
    described = describe(tmp_path)
    assert (described["kind"], described["model"]) == ("a folder of save_pretrained", "BertModel")
    assert described["next"] == f"edgetrain convert {tmp_path} --model transformers:BertModel"
    assert described["weights"].startswith("model.safetensors, ")
    assert _rows(described) == ROWS


def test_a_checkpoint_in_several_files(tmp_path: Path) -> None:
    _in_parts(tmp_path)
    described = describe(tmp_path)
    assert (described["kind"], described["elements"]) == ("a checkpoint in several files", 8)
    assert _rows(described) == ROWS
    assert {t["name"]: t["file"] for t in described["tensors"]} == {
        "fc.weight": "model-0.safetensors",
        "fc.bias": "model-1.safetensors",
    }
    (tmp_path / "model-1.safetensors").unlink()
    described = describe(tmp_path)
    assert described["missing"] == ["model-1.safetensors"]
    assert list(_rows(described)) == ["fc.weight"]


def test_files_of_any_kind(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "a.pth")
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "b.pt"))
    (tmp_path / "c.gguf").write_bytes(b"GGUF" + bytes(20))
    (tmp_path / "d.yaml").write_text("train:\n  epochs: 3\n")
    (tmp_path / "e.txt").write_text("notes")
    (tmp_path / "f.pte").write_bytes(bytes(4) + b"ET12" + bytes(20))
    (tmp_path / "below").mkdir()
    assert describe(tmp_path) == {
        "kind": "a folder",
        "files": {
            "a.pth": "a file of torch.save",
            "b.pt": "a TorchScript model",
            "below": "folder",
            "c.gguf": "a GGUF model, quantized for llama.cpp",
            "d.yaml": "configuration",
            "e.txt": "of no kind edgetrain knows, or damaged",
            "f.pte": "ExecuTorch program",
        },
    }
    with pytest.raises(InputError, match="is an empty folder"):
        describe(tmp_path / "below")


def test_folders_are_compared_by_their_weights(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    _in_parts(tmp_path / "parts")
    other = tmp_path / "other.pth"
    torch.save({"fc.weight": STATE["fc.weight"] + 0.5, "fc.bias": STATE["fc.bias"]}, other)
    found = compare_tensors(tmp_path / "parts", other)
    assert (found["equal"], [(d["name"], d["largest"]) for d in found["differing"]]) == (
        1,
        [("fc.weight", 0.5)],
    )
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="name a file in it"):
        compare_tensors(tmp_path / "none", other)
