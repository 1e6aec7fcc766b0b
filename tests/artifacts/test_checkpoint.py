from __future__ import annotations

import random
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgetrain.artifacts.specs import InputSpec, Preprocessing, TaskSpec, TensorSpec
from edgetrain.artifacts.transforms import KeptChannels, KeptZeros, Layer, ReplacedLayer, SetAttributes
from edgetrain.config.model import ModelConfig
from edgetrain.errors import InputError


def _checkpoint() -> Checkpoint:
    return Checkpoint(
        model=ModelConfig(name="mlp", args={"hidden": [3], "num_classes": 2}),
        state={"a.weight": torch.randn(3, 4), "count": torch.tensor(7), "empty": torch.empty(0, 2)},
        inputs={
            "image": InputSpec(
                shape=(4,), preprocessing=Preprocessing(scale=1 / 255, mean=(0.5,), std=(0.25,))
            ),
            "ids": InputSpec(shape=(3,), dtype="int64"),
        },
        targets={"label": TensorSpec(shape=(), dtype="int64")},
        task=TaskSpec(name="classification", loss="cross_entropy", classes=("cat", "dog")),
        metrics={"val_loss": 0.25, "epoch": 3},
        config={"train": {"epochs": 3, "list": [1, None]}},
        training={"optimizer": {"state": {0: {"momentum_buffer": torch.ones(2)}}}},
        transforms=(
            ReplacedLayer(module="a", by=Layer(type="Conv2d", args={"kernel_size": [3, 3]})),
            KeptChannels(tensor="a.weight", kept={0: (0, 2), 1: (1,)}),
            SetAttributes(module="a", values={"out_channels": 2}),
            KeptZeros(module="a", pattern="2:4"),
        ),
    )


def test_round_trip(tmp_path: Path) -> None:
    written = _checkpoint()
    save_checkpoint(tmp_path / "m.pth", written)
    read = load_checkpoint(tmp_path / "m.pth")
    assert list(read.state) == list(written.state)
    for name, tensor in written.state.items():
        assert read.state[name].dtype == tensor.dtype
        assert torch.equal(read.state[name], tensor)
    for field in ("model", "inputs", "targets", "task", "metrics", "config", "transforms"):
        assert getattr(read, field) == getattr(written, field)
    assert list(read.inputs) == ["image", "ids"], "the order is the model's"
    assert read.training is not None
    assert torch.equal(read.training["optimizer"]["state"][0]["momentum_buffer"], torch.ones(2))


def test_checkpoints_without_transforms_are_read(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "m.pth", _checkpoint())
    payload = torch.load(tmp_path / "m.pth", weights_only=True)
    del payload["transforms"]
    torch.save({**payload, "version": 2}, tmp_path / "old.pth")
    assert load_checkpoint(tmp_path / "old.pth").transforms == ()


def test_unknown_transforms_are_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "m.pth", _checkpoint())
    payload = torch.load(tmp_path / "m.pth", weights_only=True)
    torch.save({**payload, "transforms": [{"kind": "evil", "module": "a"}]}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="is no complete edgetrain checkpoint"):
        load_checkpoint(tmp_path / "other.pth")


class _Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_not_run(tmp_path: Path, zipped: bool) -> None:
    payload = {"format": "edgetrain.checkpoint", "version": 2, "model": _Trap(tmp_path / "sprung")}
    torch.save(payload, tmp_path / "evil.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r"evil\.pth"):
        load_checkpoint(tmp_path / "evil.pth")
    assert not (tmp_path / "sprung").exists()
    torch.load(tmp_path / "evil.pth", weights_only=False)
    assert (tmp_path / "sprung").exists()  # the trap works


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"w": torch.ones(2)}, "no edgetrain checkpoint"),
        ([1, 2], "no edgetrain checkpoint"),
        (torch.ones(3), "no edgetrain checkpoint"),
        ({"format": "edgetrain.checkpoint", "version": 99}, "version 99"),
        ({"format": "edgetrain.checkpoint", "version": 1}, "version 1; this edgetrain reads up to 3"),
        ({"format": "edgetrain.checkpoint", "version": 2}, "no complete edgetrain checkpoint"),
        ({"format": "edgetrain.checkpoint", "version": 2, "state_dict": {"w": 1}}, "names to tensors"),
    ],
)
def test_other_files_of_torch_save(tmp_path: Path, payload: Any, message: str) -> None:
    torch.save(payload, tmp_path / "x.pth")
    with pytest.raises(InputError, match=message):
        load_checkpoint(tmp_path / "x.pth")


def test_targets_that_are_not_known(tmp_path: Path) -> None:
    written = _checkpoint()
    written.targets = None
    save_checkpoint(tmp_path / "m.pth", written)
    assert load_checkpoint(tmp_path / "m.pth").targets is None


def test_missing_file_and_text_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; train a model first"):
        load_checkpoint(tmp_path / "x.pth")
    (tmp_path / "x.pth").write_text("hello")
    with pytest.raises(InputError, match="damaged or no PyTorch checkpoint"):
        load_checkpoint(tmp_path / "x.pth")


def test_damage_is_found(tmp_path: Path) -> None:
    """Flipped bits give an error, or, in padding and unused fields of the zip format, no change."""
    written = _checkpoint()
    path = tmp_path / "m.pth"
    save_checkpoint(path, written)
    good = path.read_bytes()
    draw = random.Random(0)
    refused = 0
    for _ in range(150):
        position = draw.randrange(len(good) * 8)
        data = bytearray(good)
        data[position // 8] ^= 1 << position % 8
        path.write_bytes(data)
        try:
            read = load_checkpoint(path)
        except InputError:
            refused += 1
            continue
        assert read.model == written.model, position
        for name, tensor in written.state.items():
            assert torch.equal(read.state[name], tensor), (name, position)
    assert refused > 30
    for _ in range(30):
        path.write_bytes(good[: draw.randrange(len(good))])
        with pytest.raises(InputError):
            load_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes(200 * 2**20), "would unpack to"),
        (b"\x80\x02" + b"]" * 10_000 + b"a" * 9_999 + b".", "nested more deeply"),
        (b"\x80\x02]" + b"2\x86" * 60 + b".", "nested more deeply"),
        (
            b"\x80\x02(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
            + b"0X\3\0\0\0cpuJ\0\0\0\x7ftQ.",
            "asks for",
        ),
    ],
    ids=["inflation", "depth", "doubling", "storage"],
)  # fmt: skip
def test_bombs(tmp_path: Path, content: bytes, message: str) -> None:
    """Small files that would take minutes or gigabytes are refused in no time."""
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/data.pkl", content)
        file.writestr("a/data/0", bytes(16))
    assert path.stat().st_size < 2**20
    began = time.process_time()
    with pytest.raises(InputError, match=message):
        load_checkpoint(path)
    assert time.process_time() - began < 5
