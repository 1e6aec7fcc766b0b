"""`arrays`: files of one's own, good and bad."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from edgetrain.artifacts.specs import TensorSpec
from edgetrain.config.data import DataConfig
from edgetrain.data import Dataset, load_dataset
from edgetrain.errors import ConfigError, InputError, UsageError

RNG = np.random.default_rng(0)
FLOATS = RNG.normal(size=(20, 5))
LABELS = np.arange(20) % 4


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def load(path: Path, **options: Any) -> Dataset:
    return load_dataset(DataConfig(name="arrays", root=path, **options))


def test_floats_with_a_held_out_part(tmp_path: Path) -> None:
    data = load(save(tmp_path / "a.npz", inputs=FLOATS, targets=LABELS.astype(np.int16)), test_fraction=0.4)
    assert torch.bincount(data.train.labels).tolist() == [3] * 4
    assert torch.bincount(data.test.labels).tolist() == [2] * 4
    assert data.classes == ["0", "1", "2", "3"]
    assert data.inputs["inputs"].shape == (5,)
    assert data.train.inputs([0])["inputs"].dtype == torch.float32
    rows = torch.cat([data.train.inputs(range(12))["inputs"], data.test.inputs(range(8))["inputs"]])
    assert torch.equal(rows.sort(0).values, torch.from_numpy(FLOATS).float().sort(0).values)
    assert data.preprocessing["inputs"].apply(rows) is rows
    assert not data.augmentation


def test_given_test_part_and_keras_names(tmp_path: Path) -> None:
    bytes_ = RNG.integers(0, 256, (6, 1, 4, 4), dtype=np.uint8)
    path = save(
        tmp_path / "a.npz", x_train=bytes_, y_train=np.arange(6), x_test=bytes_[:2], y_test=np.arange(2)
    )
    data = load(path)
    assert (len(data.train), len(data.test)) == (6, 2)
    assert torch.equal(data.train.inputs([5, 1])["inputs"], torch.from_numpy(bytes_[[5, 1]]))
    assert data.preprocessing["inputs"].scale == 1 / 255
    assert load(path, shift=["invert"]).train.inputs([0])["inputs"][0, 0, 0, 0] == 255 - bytes_[0, 0, 0, 0]


def test_safetensors_regression(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    x, y = torch.randn(10, 2, 3, dtype=torch.bfloat16), torch.randn(10, 2, dtype=torch.float64)
    save_file({"x": x, "y": y}, path)
    data = load(path)
    assert (len(data.train), len(data.test)) == (8, 2)
    assert data.classes is None
    assert data.train.labels is None
    values = data.train.targets(range(8))["targets"]
    assert (values.dtype, values.shape) == (torch.float32, (8, 2))
    assert data.train.inputs([0])["inputs"].dtype == torch.float32


def test_integer_ids_and_flat_inputs(tmp_path: Path) -> None:
    ids = load(save(tmp_path / "ids.npz", x=np.arange(20).reshape(10, 2), y=np.arange(10) % 2))
    assert ids.inputs["inputs"].dtype == "int64"
    assert ids.train.inputs([0])["inputs"].dtype == torch.int64
    flat = load(save(tmp_path / "flat.npz", x=np.linspace(0, 1, 10), y=np.linspace(0, 1, 10)))
    assert flat.inputs["inputs"].shape == (1,)


def test_big_endian_numbers_keep_their_value(tmp_path: Path) -> None:
    data = load(save(tmp_path / "a.npz", x=FLOATS.astype(">f4"), y=LABELS.astype(">i4")), test_fraction=0.1)
    assert set(data.train.labels.tolist()) == {0, 1, 2, 3}
    assert float(data.train.inputs(range(18))["inputs"].abs().max()) < 10


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"inputs": FLOATS}, r"lacks 'targets' \(or y, y_train\)"),
        ({"x": FLOATS, "y": LABELS[:7]}, "one entry per sample"),
        ({"x": FLOATS, "y": LABELS - 1}, r"targets\[0\] is -1; labels count from 0"),
        ({"x": FLOATS, "y": LABELS * 10**7}, "too many classes"),
        (
            {"x": np.where(FLOATS[3, 2] == FLOATS, np.nan, FLOATS), "y": LABELS},
            r"inputs\[3, 2\] is not a finite",
        ),
        ({"x": FLOATS * 1e300, "y": LABELS}, "not a finite float32"),
        ({"x": FLOATS, "y": np.zeros((20, 0), dtype=int)}, "targets are empty"),
        ({"x": FLOATS, "y": LABELS, "x_test": FLOATS}, "lacks 'test_targets'"),
        ({"x": FLOATS, "y": LABELS, "x_test": FLOATS[:, :2], "y_test": LABELS}, "must be alike"),
        ({"x": FLOATS[:0], "y": LABELS[:0]}, "inputs are empty"),
        ({"x": FLOATS[:1], "y": LABELS[:1]}, "too few samples"),
        ({"x": np.array(["a", "b"]), "y": np.arange(2)}, "not numbers"),
        ({"x": FLOATS + 1j, "y": LABELS}, "not numbers"),
        ({"x": np.array([{}, {}]), "y": np.arange(2)}, "damaged or no plain .npz"),
    ],
)
def test_bad_arrays_are_named(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(save(tmp_path / "a.npz", **arrays))


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs --data-dir FILE"):
        load_dataset(DataConfig(name="arrays"))
    with pytest.raises(InputError, match="does not exist"):
        load(tmp_path / "none.npz")
    for name in ("a.npz", "a.safetensors", "a.csv"):
        (tmp_path / name).write_bytes(b"not what the name says")
        with pytest.raises(InputError, match=r"damaged|neither"):
            load(tmp_path / name)
    whole = save(tmp_path / "whole.npz", inputs=FLOATS, targets=LABELS).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.npz is damaged"):
        load(tmp_path / "cut.npz")


def test_options_that_dont_fit(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", inputs=FLOATS, targets=FLOATS[:, 0])
    with pytest.raises(ConfigError) as caught:
        load(path, image_size=8, flip=True, images_per_class=2, shift=["classes:1", "invert"])
    assert len(caught.value.problems) == 5


def test_arrays_of_any_names(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (20, 3, 4, 4), dtype=np.uint8)
    ids = RNG.integers(0, 9, (20, 2))
    arrays = {"image": pixels, "numbers": FLOATS, "ids": ids, "kind": LABELS, "unused": np.array([{}])}
    path = save(tmp_path / "a.npz", **arrays)
    data = load(path, inputs=["numbers", "image", "ids"], targets=["kind"])
    assert list(data.inputs) == ["numbers", "image", "ids"]
    assert {name: (spec.shape, spec.dtype) for name, spec in data.inputs.items()} == {
        "numbers": ((5,), "float32"),
        "image": ((3, 4, 4), "float32"),
        "ids": ((2,), "int64"),
    }
    assert data.targets == {"kind": TensorSpec(shape=(), dtype="int64")}
    assert data.classes == ["0", "1", "2", "3"]
    samples = data.train.samples(range(len(data.train)))
    rows = [FLOATS.astype(np.float32).tolist().index(row) for row in samples.inputs["numbers"].tolist()]
    assert torch.equal(samples.inputs["image"], torch.from_numpy(pixels[rows]))
    assert torch.equal(samples.inputs["ids"], torch.from_numpy(ids[rows]))
    assert samples.targets["kind"].tolist() == LABELS[rows].tolist()


def test_test_parts_of_any_names(tmp_path: Path) -> None:
    path = save(
        tmp_path / "a.npz",
        image=FLOATS, test_image=FLOATS[:6], numbers_train=FLOATS + 1, numbers_test=FLOATS[:6] + 1,
        a=FLOATS, a_test=FLOATS[:6],
    )  # fmt: skip
    data = load(path, inputs=["image", "numbers"], targets=["a"])
    assert (len(data.train), len(data.test)) == (20, 6)
    test = data.test.samples(range(6))
    torch.testing.assert_close(test.inputs["image"] + 1, test.inputs["numbers"])
    assert torch.equal(test.inputs["image"], test.targets["a"])


def test_several_targets_have_no_classes(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", x=FLOATS, kind=LABELS, size=FLOATS[:, 0])
    data = load(path, targets=["kind", "size"])
    assert (data.classes, data.train.labels) == (None, None)
    assert [spec.dtype for spec in data.targets.values()] == ["int64", "float32"]
    with pytest.raises(ConfigError, match="images_per_class needs one class label per sample"):
        load(path, targets=["kind", "size"], images_per_class=1)


MASKS = RNG.integers(0, 3, (20, 4, 6), dtype=np.uint8)
TAGS = RNG.integers(0, 3, (20, 7))


@pytest.mark.parametrize(
    ("targets", "classes", "ignored"),
    [
        (MASKS, 3, 255),
        (np.where(MASKS == 1, 255, MASKS), 3, 255),
        (np.full_like(MASKS, 255), 1, 255),
        (MASKS.astype(np.int64) * 200, 401, -100),
        (np.where(MASKS == 1, -1, MASKS.astype(np.int64)), 3, -1),
        (TAGS, 3, -100),
        (np.where(TAGS == 0, -1, TAGS), 3, -1),
        (np.where(TAGS == 0, -100, TAGS), 3, -100),
        (TAGS[:, :1], 3, None),
    ],
)
def test_dense_labels(tmp_path: Path, targets: np.ndarray, classes: int, ignored: int | None) -> None:
    data = load(save(tmp_path / "a.npz", inputs=FLOATS, targets=targets))
    assert data.classes == [str(label) for label in range(classes)]
    assert data.ignored == ignored
    shape = () if targets.shape[1:] == (1,) else targets.shape[1:]
    assert data.targets["targets"] == TensorSpec(shape=shape, dtype="int64")
    found = torch.cat([part.targets(range(len(part)))["targets"] for part in (data.train, data.test)])
    assert sorted(found.flatten().tolist()) == sorted(targets.flatten().tolist())


def test_masks_follow_their_images(tmp_path: Path) -> None:
    pixels = np.stack([MASKS * 80] * 3, 1)
    path = save(tmp_path / "a.npz", inputs=pixels, targets=MASKS)
    data = load(path, flip=True, crop_padding=2)
    assert (data.augmentation.images, data.augmentation.masks) == (("inputs",), {"targets": 255})
    small = load(path, image_size=2)
    assert (small.inputs["inputs"].shape, small.targets["targets"].shape) == ((3, 2, 2), (2, 2))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"inputs": ["z"]},
            InputError,
            r"lacks 'z' \(or z_train, train_z\); it has x, y, x_test, y_test; choose",
        ),
        ({"inputs": ["x"], "targets": ["x"]}, UsageError, "x is named twice"),
        ({"inputs": ["x", "only"]}, InputError, "lacks 'only'"),
    ],
)
def test_names_that_are_not_there(
    tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    path = save(tmp_path / "a.npz", x=FLOATS, y=LABELS, x_test=FLOATS, y_test=LABELS)
    with pytest.raises(error, match=message):
        load(path, **options)


def test_a_sample_that_is_too_large_for_a_program(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", x=np.zeros((4, 2**20 + 1), dtype=np.uint8), y=np.zeros(4, dtype=int))
    with pytest.raises(InputError, match="too large: it may have 8 dimensions of up to 1,048,576 numbers"):
        load(path)
