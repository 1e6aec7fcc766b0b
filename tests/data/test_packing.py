"""Packing: what is in the file, that it comes back as it was, and that nothing half-written stays."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from edgetrain.artifacts.packed import description_path, load_description
from edgetrain.artifacts.sealed import sealed
from edgetrain.artifacts.tensors import read_tensors, write_tensors
from edgetrain.config.data import DataConfig
from edgetrain.data import Batch, BatchLoader, Dataset, Split, load_dataset, pack_dataset, pack_split
from edgetrain.data.base import Samples, TensorSplit
from edgetrain.data.packing import byte_targets
from edgetrain.errors import ConfigError, InputError, UsageError
from edgetrain.vision import import_torchvision

FEW = {"images_per_class": 5, "test_images_per_class": 3}


def make_images(folder: Path) -> Path:
    draw = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 4)):
        for name in ("cat", "dog"):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = draw.integers(0, 256, (9, 7, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{i}.png")
    return folder


def make_masks(folder: Path) -> Path:
    draw = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 4)):
        for kind in ("images", "masks"):
            (folder / split / kind).mkdir(parents=True)
        for i in range(count):
            pixels, labels = (draw.integers(0, 3, (9, 7, *rest), dtype=np.uint8) for rest in ((3,), ()))
            Image.fromarray(pixels * 100).save(folder / split / "images" / f"{i}.jpg")
            Image.fromarray(labels).save(folder / split / "masks" / f"{i}.png")
    return folder


def make_text(path: Path) -> Path:
    path.write_text("Of every hundred words there are some that nobody reads. " * 5)
    return path


def fake_cifar10(root: str, train: bool, download: bool) -> Any:
    count = 20 if train else 10
    pixels = np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    names = [f"class{i}" for i in range(10)]
    return SimpleNamespace(data=pixels, targets=[i % 10 for i in range(count)], classes=names)


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the configuration of a kind of data, and what it reads."""
    draw = np.random.default_rng(0)
    inputs = draw.normal(size=(30, 4))

    def arrays(**content: Any) -> dict[str, Any]:
        np.savez(tmp_path / "data.npz", **content)
        return {"name": "arrays", "root": tmp_path / "data.npz"}

    def cifar10() -> dict[str, Any]:
        import_torchvision()
        from torchvision import datasets

        monkeypatch.setattr(datasets, "CIFAR10", fake_cifar10)
        return {"name": "cifar10", "root": tmp_path}

    kinds = {
        "digits": lambda: {"name": "digits", **FEW},
        "digits, shifted": lambda: {**FEW, "shift": ["rotate:30", "noise:0.1", "classes:1,3"]},
        "digits, in colour": lambda: {**FEW, "image_size": 12, "channels": 3},
        "digits, own numbers": lambda: {**FEW, "mean": [0.5], "std": [0.25], "augment": False},
        "digits, own augmentation": lambda: {**FEW, "flip": True, "crop_padding": 3},
        "cifar10": cifar10,
        "cifar10, grey": lambda: {**cifar10(), "channels": 1, "image_size": 16},
        "image-folder": lambda: {"name": "image-folder", "root": make_images(tmp_path / "images")},
        "floats": lambda: arrays(inputs=inputs, targets=np.arange(30) % 3),
        "ids": lambda: arrays(inputs=np.arange(60).reshape(30, 2), targets=np.arange(30) % 3),
        "regression": lambda: arrays(inputs=inputs, targets=draw.normal(size=(30, 2))),
        "single values": lambda: arrays(inputs=inputs, targets=draw.normal(size=30)),
        "xor": lambda: {"name": "xor"},
        "synthetic": lambda: {"name": "synthetic", "args": {"shape": [2, 5], "samples": 30}},
        "several": lambda: {
            **arrays(
                image=draw.integers(0, 256, (30, 3, 6, 6), dtype=np.uint8),
                numbers=inputs,
                ids=np.arange(60).reshape(30, 2),
                mask=draw.integers(0, 3, (30, 6, 6)),
                size=inputs[:, 0],
            ),
            "inputs": ["numbers", "image", "ids"],
            "targets": ["size", "mask"],
            "flip": True,
        },
        "masks": lambda: {"name": "image-folder", "root": make_masks(tmp_path / "images"), "image_size": 5},
        "text": lambda: {"name": "text", "root": make_text(tmp_path / "text.md"), "length": 6},
        "tokens": lambda: {
            "name": "synthetic",
            "args": {"shape": [5], "task": "tokens", "samples": 30, "classes": 4},
        },
        "regress": lambda: {"name": "synthetic", "args": {"task": "regress", "classes": 2, "samples": 30}},
        "multilabel": lambda: {"name": "synthetic", "args": {"task": "multilabel", "samples": 30}},
    }
    return lambda kind: DataConfig.model_validate(kinds[kind]())


KINDS = [
    "digits", "digits, shifted", "digits, in colour", "digits, own numbers", "digits, own augmentation",
    "cifar10", "cifar10, grey", "image-folder", "floats", "ids", "regression", "single values", "xor",
    "synthetic", "regress", "multilabel", "several", "masks", "text", "tokens",
]  # fmt: skip


def pack_both(config: DataConfig, folder: Path) -> Path:
    folder.mkdir()
    pack_dataset(config, "train", folder / "train.ptd")
    pack_dataset(config, "test", folder / "test.ptd")
    return folder


def read_back(root: Path, **options: Any) -> Dataset:
    return load_dataset(DataConfig(name="arrays", root=root, **options))


def batches(dataset: Dataset) -> list[Any]:
    training = BatchLoader(
        dataset.train, dataset.preprocessing, 4, shuffle=True, augmentation=dataset.augmentation
    )
    return [*training.epoch(1), *BatchLoader(dataset.test, dataset.preprocessing, 4).epoch(0)]


@pytest.mark.parametrize("kind", KINDS)
def test_comes_back_as_it_was(configure: Any, tmp_path: Path, kind: str) -> None:
    config = configure(kind)
    original, packed = load_dataset(config), read_back(pack_both(config, tmp_path / "packed"))
    for field in ("inputs", "targets", "classes", "outputs", "ignored", "augmentation"):
        assert getattr(packed, field) == getattr(original, field), field
    assert original.task in (None, packed.task)
    for name in ("train", "test"):
        one, other = getattr(original, name), getattr(packed, name)
        assert_same(one.samples(range(len(one))), other.samples(range(len(one))))
    for ours, theirs in zip(batches(packed), batches(original), strict=True):
        assert_same(ours, theirs)


def assert_same(one: Samples | Batch, other: Samples | Batch) -> None:
    for ours, theirs in ((one.inputs, other.inputs), (one.targets, other.targets)):
        assert list(ours) == list(theirs)
        assert [t.dtype for t in ours.values()] == [t.dtype for t in theirs.values()]
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("kind", "inputs", "targets", "task", "classes"),
    [
        ("digits, in colour", ([3, 12, 12], "uint8"), ([], "int64"), "classification", 10),
        ("image-folder", ([3, 9, 7], "uint8"), ([], "int64"), "classification", 2),
        ("ids", ([2], "int64"), ([], "int64"), "classification", 3),
        ("regression", ([4], "float32"), ([2], "float32"), "regression", None),
        ("single values", ([4], "float32"), ([], "float32"), "regression", None),
        ("multilabel", ([3, 32, 32], "float32"), ([10], "float32"), "multi-label", 10),
        ("masks", ([3, 5, 5], "uint8"), ([5, 5], "uint8"), "segmentation", 3),
        ("text", ([6], "int64"), ([6], "uint8"), "next-token", None),
        ("tokens", ([5], "int64"), ([5], "int64"), "token-classification", 4),
    ],
)
def test_description(
    configure: Any, tmp_path: Path, kind: str, inputs: Any, targets: Any, task: str, classes: int | None
) -> None:
    path = tmp_path / "out" / "data.ptd"
    config = configure(kind)
    described = pack_dataset(config, "test", path)
    assert load_description(description_path(path)) == described
    (stored,), (stored_targets,) = described.inputs.values(), described.targets.values()
    assert (stored.shape, stored.dtype) == inputs
    assert (stored_targets.shape, stored_targets.dtype) == targets
    assert described.task == task
    assert (described.classes and len(described.classes)) == classes
    assert described.outputs == (256 if kind == "text" else None)
    assert (described.split, described.samples) == ("test", len(load_dataset(config).test))
    assert described.file.bytes == path.stat().st_size
    file = read_tensors(path)
    assert file.digest_offset is not None
    assert {name: e.shape for name, e in file.entries.items()} == {
        "inputs": (described.samples, *inputs[0]),
        "targets": (described.samples, *targets[0]),
    }
    plain = json.loads(description_path(path).read_text())
    assert (plain["schema_version"], plain["kind"]) == (3, "edgetrain.dataset")
    assert plain["file"].keys() == {"name", "bytes", "sha256"}
    assert plain["inputs"]["inputs"].keys() == {"shape", "dtype", "preprocessing"}
    assert plain["inputs"]["inputs"]["preprocessing"].keys() == {"scale", "mean", "std"}
    assert plain["config"]["name"] == config.name


@pytest.mark.parametrize("kind", ["digits, shifted", "image-folder", "regress", "several", "masks"])
def test_same_split_same_bytes(configure: Any, tmp_path: Path, kind: str) -> None:
    config = configure(kind)
    pack_dataset(config, "train", tmp_path / "a.ptd")
    dataset = load_dataset(config)
    pack_split(dataset.train, tmp_path / "b.ptd", as_bytes=byte_targets(dataset))
    assert (tmp_path / "a.ptd").read_bytes() == (tmp_path / "b.ptd").read_bytes()


def test_the_bytes_do_not_depend_on_the_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = load_dataset(DataConfig.model_validate(FEW)).train
    pack_split(split, tmp_path / "a.ptd")
    monkeypatch.setattr("edgetrain.data.prepared._CHUNK_BYTES", 64 * 7)
    seen: list[int] = []
    inputs = type(split).inputs
    monkeypatch.setattr(type(split), "inputs", lambda s, rows: seen.append(len(rows)) or inputs(s, rows))
    pack_split(split, tmp_path / "b.ptd")
    assert seen == [1, *[7] * 7, 1]  # the first sample, then pieces
    assert (tmp_path / "a.ptd").read_bytes() == (tmp_path / "b.ptd").read_bytes()
    every = split.samples(range(len(split)))
    write_tensors(tmp_path / "c.ptd", {**every.inputs, **every.targets})
    assert (tmp_path / "a.ptd").read_bytes() == (tmp_path / "c.ptd").read_bytes()


def test_images_are_decoded_for_one_split_only(
    configure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgetrain.data import image_folder

    config = configure("image-folder")
    decoded: list[str] = []
    decode = image_folder.decode_images
    monkeypatch.setattr(
        image_folder, "decode_images", lambda files, f: decoded.extend(map(str, files)) or decode(files, f)
    )
    pack_dataset(config, "train", tmp_path / "train.ptd")
    assert not [path for path in decoded if "/test/" in path]


def test_one_file_of_which_a_part_is_held_out(tmp_path: Path) -> None:
    pack_dataset(DataConfig.model_validate(FEW), "train", tmp_path / "data.ptd")
    data = read_back(tmp_path / "data.ptd", test_fraction=0.4)
    assert torch.bincount(data.train.labels).tolist() == [3] * 10
    assert torch.bincount(data.test.labels).tolist() == [2] * 10
    assert data.preprocessing == load_dataset(DataConfig()).preprocessing


def test_options_apply_to_packed_images(configure: Any, tmp_path: Path) -> None:
    config = configure("cifar10")
    folder = pack_both(config, tmp_path / "packed")
    grey = read_back(folder, channels=1)
    assert grey.inputs["inputs"].shape == (1, 32, 32)
    assert len(grey.preprocessing["inputs"].mean) == 1
    small = read_back(folder, image_size=8, images_per_class=1, shift=["invert", "classes:class3"])
    assert small.train.inputs([0])["inputs"].shape == (1, 3, 8, 8)
    assert small.train.labels.tolist() == [3]
    assert not read_back(folder, augment=False).augmentation


def test_names_with_the_split_in_them(tmp_path: Path) -> None:
    config = DataConfig.model_validate(FEW)
    for split in ("train", "test"):
        pack_dataset(config, split, tmp_path / f"digits.{split}.ptd")
    assert (len(read_back(tmp_path).train), len(read_back(tmp_path).test)) == (50, 30)
    pack_dataset(config, "test", tmp_path / "test.ptd")
    with pytest.raises(InputError, match=r"must hold one test\.ptd or NAME\.test\.ptd \(digits\.test\.ptd, "):
        read_back(tmp_path)


def test_without_a_description(tmp_path: Path) -> None:
    split = load_dataset(DataConfig.model_validate(FEW)).train
    pack_split(split, tmp_path / "data.ptd")
    data = read_back(tmp_path / "data.ptd")
    assert data.classes == [str(label) for label in range(10)]
    assert (data.preprocessing["inputs"].scale, data.preprocessing["inputs"].mean) == (1 / 255, (0.0,))
    assert not data.augmentation


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(sealed(text.replace(old, new)))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: _flip(f / "train.ptd"), "does not match its digest"),
        (lambda f: _flip(f / "test.ptd"), "does not match its digest"),
        (lambda f: (f / "test.ptd").write_bytes(b""), r"is no \.ptd file"),
        (lambda f: (f / "train.ptd").write_bytes((f / "train.ptd").read_bytes()[:-1]), "cut short"),
        (lambda f: (f / "test.ptd").unlink(), r"must hold one test\.ptd .*\(none found\)"),
        (lambda f: (f / "train.json").write_text("{"), "is no description of a packed data set"),
        (lambda f: (f / "train.json").write_bytes(b"\xff"), "is no text"),
        (lambda f: _flip(f / "train.json"), "changed after it was written|is no description|is no text"),
        (lambda f: (f / "train.json").write_text('{"epochs": []}'), "is no description"),
        (lambda f: (f / "train.ptd").write_bytes((f / "test.ptd").read_bytes()),
         "is not the file that train.json describes"),
        (lambda f: _rewrite(f / "test.json", '"9"', '"nine"'), "have other classes"),
        (lambda f: [(f / "test.json").unlink(), write_tensors(f / "test.ptd", {"x": torch.ones(3)})],
         "holds other tensors than"),
    ],
)  # fmt: skip
def test_damage(tmp_path: Path, damage: Any, message: str) -> None:
    folder = pack_both(DataConfig.model_validate(FEW), tmp_path / "packed")
    damage(folder)
    with pytest.raises(InputError, match=message):
        read_back(folder)


def test_fewer_names_than_labels(tmp_path: Path) -> None:
    path = tmp_path / "data.ptd"
    pack_dataset(DataConfig.model_validate(FEW), "train", path)
    plain = json.loads(description_path(path).read_text())
    plain["classes"] = plain["classes"][:9]
    description_path(path).write_text(sealed(json.dumps(plain)))
    with pytest.raises(InputError, match="labels up to 9, but its description names 9 classes"):
        read_back(path)


def test_of_several_tensors_some_are_chosen(configure: Any, tmp_path: Path) -> None:
    folder = pack_both(configure("several"), tmp_path / "packed")
    data = read_back(folder, inputs=["image"], targets=["mask"])
    assert (list(data.inputs), list(data.targets)) == (["image"], ["mask"])
    assert (data.augmentation.flip, data.augmentation.masks) == (True, {"mask": 255})
    with pytest.raises(
        InputError, match=r"train\.ptd has no tensor z; it has numbers, image, ids, size, mask;"
    ):
        read_back(folder, inputs=["z"])
    for split in ("train", "test"):
        (folder / f"{split}.json").unlink()
    with pytest.raises(InputError, match="holds other tensors than inputs and targets"):
        read_back(folder)
    assert list(read_back(folder, inputs=["ids"], targets=["size"]).inputs) == ["ids"]


def test_splits_with_other_tensors(configure: Any, tmp_path: Path) -> None:
    folder = pack_both(configure("floats"), tmp_path / "packed")
    pack_dataset(configure("several"), "test", folder / "test.ptd")
    for split in ("train", "test"):
        _rewrite_classes(folder / f"{split}.json")
    with pytest.raises(InputError, match="the training and the test split have other tensors"):
        read_back(folder)


def _rewrite_classes(path: Path) -> None:
    path.write_text(sealed(json.dumps({**json.loads(path.read_text()), "classes": None})))


@pytest.mark.parametrize("outside", [-100, 256])
def test_labels_that_do_not_fit_into_bytes(tmp_path: Path, outside: int) -> None:
    split = TensorSplit.of(torch.zeros(2, 2), torch.tensor([[0, 1], [2, outside]]))
    pack_split(split, tmp_path / "a.ptd")
    assert read_tensors(tmp_path / "a.ptd").tensor("targets")[1, 1] == outside
    with pytest.raises(InputError, match="targets of samples 0 to 1 have labels that are no classes"):
        pack_split(split, tmp_path / "b.ptd", as_bytes=["targets"])


def test_labels_stored_as_bytes_are_labels(tmp_path: Path) -> None:
    labels = torch.tensor([[[0, 1], [2, 255]]] * 6)
    path = tmp_path / "data.ptd"
    write_tensors(
        path, {"inputs": torch.zeros(6, 3, 2, 2, dtype=torch.uint8), "targets": labels.to(torch.uint8)}
    )
    data = read_back(path)
    assert torch.equal(data.train.targets([0])["targets"], labels[:1])
    assert (data.classes, data.ignored) == (["0", "1", "2"], 255)


def test_what_can_not_be_packed(tmp_path: Path) -> None:
    for options, kind in (
        ({"name": "xor", "image_size": 4}, ConfigError),
        ({"name": "arrays"}, UsageError),
        ({"name": "arrays", "root": tmp_path / "none.npz"}, InputError),
    ):
        with pytest.raises(kind):
            pack_dataset(DataConfig.model_validate(options), "train", tmp_path / "data.ptd")
    assert list(tmp_path.iterdir()) == []


class Failing(Split):
    """A thousand samples, of which the last can't be read."""

    def __len__(self) -> int:
        return 1000

    def inputs(self, indices: Any) -> dict[str, torch.Tensor]:
        if 999 in list(indices):
            raise InputError("the last sample is damaged")
        return {"inputs": torch.zeros(len(indices), 3, 64, 64, dtype=torch.uint8)}

    def targets(self, indices: Any) -> dict[str, torch.Tensor]:
        return {"targets": torch.zeros(len(indices), dtype=torch.int64)}


def test_a_sample_that_can_not_be_read_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "data.ptd"
    path.write_text("old")
    with pytest.raises(InputError, match="the last sample"):
        pack_split(Failing(), path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("data.ptd", "old")]


def test_kill_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "data.ptd"
    pack_split(load_dataset(DataConfig.model_validate(FEW)).train, path)
    before = path.read_bytes()
    program = f"""
import os, signal, torch
from pathlib import Path
from edgetrain.data import Split, pack_split
class Deadly(Split):
    def __len__(self):
        return 1000
    def inputs(self, indices):
        if 999 in list(indices):
            os.kill(os.getpid(), signal.SIGKILL)
        return {{"inputs": torch.zeros(len(indices), 3, 64, 64, dtype=torch.uint8)}}
    def targets(self, indices):
        return {{"targets": torch.zeros(len(indices), dtype=torch.int64)}}
pack_split(Deadly(), Path({str(path)!r}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2
    left = next(p for p in tmp_path.iterdir() if p != path)
    assert left.name.endswith(".edgetrain-tmp")
