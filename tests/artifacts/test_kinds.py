"""What a file is that would be replaced."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from edgetrain.artifacts.checkpoint import Checkpoint, save_checkpoint
from edgetrain.artifacts.figures import drawn
from edgetrain.artifacts.foreign import Format
from edgetrain.artifacts.kinds import kind_of, kind_to_replace
from edgetrain.artifacts.specs import InputSpec, TaskSpec
from edgetrain.artifacts.tensor_stream import STATE_KEY
from edgetrain.artifacts.tensors import write_tensors
from edgetrain.config.model import ModelConfig


def checkpoint(path: Path, training: dict[str, object] | None) -> Path:
    task = TaskSpec(name="classification", loss="cross_entropy", classes=("a", "b"))
    model = ModelConfig(name="xor_mlp")
    inputs = {"inputs": InputSpec(shape=(2,))}
    save_checkpoint(path, Checkpoint(model=model, state={}, inputs=inputs, task=task, training=training))
    return path


def test_what_a_run_is_resumed_from_is_no_mere_checkpoint(tmp_path: Path) -> None:
    best, last = checkpoint(tmp_path / "a.pth", None), checkpoint(tmp_path / "b.pth", {})
    assert (kind_of(best), kind_of(last)) == ("checkpoint", "checkpoint")
    assert (kind_to_replace(best), kind_to_replace(last)) == ("checkpoint", "state of a training run")
    torch.save({"training": {"total_steps": 3}}, last)
    assert kind_to_replace(last) == "checkpoint", "another program's"
    last.write_bytes(best.read_bytes()[:-20])
    assert kind_to_replace(last) is None, "damaged"


def test_tensors(tmp_path: Path) -> None:
    path = tmp_path / "x.ptd"
    write_tensors(path, {"w": torch.zeros(2)})
    assert kind_to_replace(path) == "file of weights"
    path.with_suffix(".json").write_text('{"samples": 3}')
    assert (kind_of(path), kind_to_replace(path)) == ("file of weights", "packed data set")
    write_tensors(path.with_suffix(".state.ptd"), {STATE_KEY: torch.zeros(2, dtype=torch.uint8)})
    assert kind_to_replace(path.with_suffix(".state.ptd")) == "state of a fine-tuning run"


@pytest.mark.parametrize("form", ["png", "svg"])
def test_pictures_whatever_their_name(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"x.{form}"
    with drawn(path, 1, 1) as figure:
        figure.subplots()
    assert kind_to_replace(path.rename(tmp_path / "x.pth")) == "picture"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"></svg>', "picture"),
        (b"\x7fELF\x02\x01\x01" + bytes(60), "native runner"),
        (json.dumps({"epochs": []}).encode(), "history"),
        (json.dumps({"workload": {}}).encode(), "bench report"),
        (b"", None),
        (b"sample,class\na.png,cat\n", None),
        (b"dear diary", None),
        (b'{"name": "a user\'s own"}', None),
    ],
)
def test_texts_and_executables(tmp_path: Path, content: bytes, kind: str | None) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    assert kind_to_replace(path) == kind


def test_formats_of_others(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    header = json.dumps({"w": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert isinstance(found := kind_to_replace(path), Format)
    assert found.what == "a file of safetensors"
    Image.new("RGB", (4, 4)).save(path, "jpeg")
    assert isinstance(found := kind_to_replace(path), Format)
    assert found.what == "an image (JPEG)"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("net/data.pkl", "")
        file.writestr("net/constants.pkl", "")
    assert isinstance(found := kind_to_replace(path), Format)
    assert found.what == "a TorchScript model"
    torch.save({"w": torch.zeros(2)}, path, _use_new_zipfile_serialization=False)
    assert kind_to_replace(path) == "checkpoint", "of an old PyTorch"
