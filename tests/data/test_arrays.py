"""`arrays`: files of one's own, good and bad."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

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
    assert torch.bincount(data.train.targets).tolist() == [3] * 4
    assert torch.bincount(data.test.targets).tolist() == [2] * 4
    assert data.classes == ["0", "1", "2", "3"]
    assert data.input.shape == (5,)
    assert data.train.inputs([0]).dtype == torch.float32
    rows = torch.cat([data.train.inputs(range(12)), data.test.inputs(range(8))])
    assert torch.equal(rows.sort(0).values, torch.from_numpy(FLOATS).float().sort(0).values)
    assert data.preprocessing.apply(rows) is rows
    assert not data.augmentation


def test_given_test_part_and_keras_names(tmp_path: Path) -> None:
    bytes_ = RNG.integers(0, 256, (6, 1, 4, 4), dtype=np.uint8)
    path = save(
        tmp_path / "a.npz", x_train=bytes_, y_train=np.arange(6), x_test=bytes_[:2], y_test=np.arange(2)
    )
    data = load(path)
    assert (len(data.train), len(data.test)) == (6, 2)
    assert torch.equal(data.train.inputs([5, 1]), torch.from_numpy(bytes_[[5, 1]]))
    assert data.preprocessing.scale == 1 / 255
    assert load(path, shift=["invert"]).train.inputs([0])[0, 0, 0, 0] == 255 - bytes_[0, 0, 0, 0]


def test_safetensors_regression(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    x, y = torch.randn(10, 2, 3, dtype=torch.bfloat16), torch.randn(10, 2, dtype=torch.float64)
    save_file({"x": x, "y": y}, path)
    data = load(path)
    assert (len(data.train), len(data.test)) == (8, 2)
    assert data.classes is None
    assert data.train.targets.dtype == torch.float32
    assert data.train.targets.shape == (8, 2)
    assert data.train.inputs([0]).dtype == torch.float32


def test_integer_ids_and_flat_inputs(tmp_path: Path) -> None:
    ids = load(save(tmp_path / "ids.npz", x=np.arange(20).reshape(10, 2), y=np.arange(10) % 2))
    assert ids.input.dtype == "int64"
    assert ids.train.inputs([0]).dtype == torch.int64
    flat = load(save(tmp_path / "flat.npz", x=np.linspace(0, 1, 10), y=np.linspace(0, 1, 10)))
    assert flat.input.shape == (1,)


def test_big_endian_numbers_keep_their_value(tmp_path: Path) -> None:
    data = load(save(tmp_path / "a.npz", x=FLOATS.astype(">f4"), y=LABELS.astype(">i4")), test_fraction=0.1)
    assert set(data.train.targets.tolist()) == {0, 1, 2, 3}
    assert float(data.train.inputs(range(18)).abs().max()) < 10


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
        ({"x": FLOATS, "y": np.ones((20, 3), dtype=int)}, r"need the shape \[N\], not \[20, 3\]"),
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
