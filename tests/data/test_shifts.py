"""What each shift does to a sample, and that it does the same every time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgetrain.config.data import DataConfig
from edgetrain.data import Dataset, load_dataset
from edgetrain.data.shifts import add_noise, blur, rotate, rotate_masks
from edgetrain.errors import ConfigError

ARROW = torch.tensor([[[[1, 2, 3], [4, 5, 6]]]], dtype=torch.uint8)


def digits(*shift: str, **options: Any) -> Dataset:
    return load_dataset(DataConfig(name="digits", shift=list(shift), **options))


def every_input(dataset: Dataset, split: str = "train") -> torch.Tensor:
    part = getattr(dataset, split)
    return part.inputs(range(len(part)))["inputs"]


def test_quarter_turns_are_exact_and_counter_clockwise() -> None:
    assert rotate(ARROW, 90)[0, 0].tolist() == [[3, 6], [2, 5], [1, 4]]
    assert rotate(ARROW, 180)[0, 0].tolist() == [[6, 5, 4], [3, 2, 1]]
    assert torch.equal(rotate(ARROW, -90), rotate(ARROW, 270))
    assert torch.equal(rotate(ARROW, 720), ARROW)


def test_other_angles_turn_the_same_way() -> None:
    image = torch.zeros(1, 1, 21, 21, dtype=torch.uint8)
    image[:, :, 9:12, 16:19] = 255  # a spot at three o'clock
    turned = rotate(image, 45)
    assert turned.dtype == torch.uint8
    rows, columns = torch.nonzero(turned[0, 0] > 128, as_tuple=True)
    assert float(rows.float().mean()) < 7  # now at half past one
    assert float(columns.float().mean()) > 13


def test_masks_turn_with_their_images() -> None:
    labels = ARROW[:, 0].to(torch.int64)
    assert torch.equal(rotate_masks(labels, 90, 255), rotate(ARROW, 90)[:, 0].to(torch.int64))
    image = torch.zeros(1, 1, 21, 21, dtype=torch.uint8)
    image[:, :, 5:16, 5:16] = 200
    mask = (image[:, 0] > 0).to(torch.int64) * 300  # labels need not fit into a byte
    turned = rotate_masks(mask, 30, 255)
    assert turned.dtype == torch.int64
    assert turned.unique().tolist() == [0, 255, 300]
    assert turned[0, 0, 0] == 255
    assert turned[0, 10, 10] == 300
    seen = rotate(image, 30)[0, 0]
    assert float(((seen > 100) == (turned[0] == 300)).float().mean()) > 0.98


def test_masks_of_a_data_set_turn_with_their_images(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 4, (6, 1, 5, 7), dtype=np.uint8)
    path = tmp_path / "data.npz"
    np.savez(path, inputs=pixels, targets=pixels[:, 0])
    data = load_dataset(DataConfig(name="arrays", root=path, shift=["rotate:90", "invert"]))
    every = data.train.samples(range(len(data.train)))
    assert data.targets["targets"].shape == (7, 5)
    assert torch.equal(255 - every.inputs["inputs"][:, 0].to(torch.int64), every.targets["targets"])
    np.savez(path, inputs=pixels, targets=pixels[:, 0].astype(np.float32))
    with pytest.raises(ConfigError, match=r"rotate would change images but not the targets targets"):
        load_dataset(DataConfig(name="arrays", root=path, shift=["rotate:90"]))


def test_each_input_gets_noise_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    numbers = np.zeros((10, 4), dtype=np.float32)
    np.savez(path, inputs=numbers, a=numbers, ids=np.arange(10), y=np.arange(10) % 2)
    both = load_dataset(
        DataConfig(name="arrays", root=path, inputs=["inputs", "a", "ids"], shift=["noise:1"])
    ).train.inputs(range(8))
    assert not torch.equal(both["inputs"], both["a"])
    assert both["ids"].dtype == torch.int64
    alone = load_dataset(DataConfig(name="arrays", root=path, shift=["noise:1"])).train.inputs(range(8))
    assert torch.equal(alone["inputs"], both["inputs"])


def test_blur_keeps_the_mean_and_spreads_a_point() -> None:
    image = torch.zeros(1, 2, 15, 15, dtype=torch.uint8)
    image[0, 0, 7, 7] = 255
    blurred = blur(image, 1.0)
    assert abs(int(blurred[0, 0, 7, 7]) - 255 / (2 * torch.pi)) < 3
    assert blurred[0, 0, 7, 6] == blurred[0, 0, 6, 7] == blurred[0, 0, 7, 8] > 20
    assert not blurred[0, 1].any()
    flat = torch.full((1, 1, 4, 4), 90, dtype=torch.uint8)
    assert torch.equal(blur(flat, 50.0), flat)
    assert torch.equal(blur(image, 0.0), image)


def test_noise_has_its_size_and_depends_on_the_row_alone() -> None:
    grey = torch.full((400, 1, 8, 8), 128, dtype=torch.uint8)
    rows = torch.arange(400)
    noisy = add_noise(grey, rows, 0.1, 0, "train")
    assert abs(float(noisy.float().std()) / 255 - 0.1) < 0.005
    assert torch.equal(add_noise(grey[:3], rows[[7, 5, 9]], 0.1, 0, "train"), noisy[[7, 5, 9]])
    assert not torch.equal(add_noise(grey[:1], rows[:1], 0.1, 1, "train"), noisy[:1])
    assert not torch.equal(add_noise(grey[:1], rows[:1], 0.1, 0, "test"), noisy[:1])
    floats = torch.zeros(400, 10)
    assert abs(float(add_noise(floats, rows, 3.0, 0, "train").std()) - 3.0) < 0.1


def test_shifts_apply_to_both_splits_in_order() -> None:
    plain = digits()
    shifted = digits("rotate:90", "invert")
    for split in ("train", "test"):
        expected = 255 - torch.rot90(every_input(plain, split), 1, (2, 3))
        assert torch.equal(every_input(shifted, split), expected)
        assert torch.equal(getattr(shifted, split).labels, getattr(plain, split).labels)


def test_normalisation_is_that_of_the_unshifted_data() -> None:
    assert digits("invert").preprocessing == digits().preprocessing


def test_a_subset_sees_the_noise_of_the_whole() -> None:
    whole = {row.numpy().tobytes() for row in every_input(digits("noise:0.2"))}
    subset = every_input(digits("noise:0.2", images_per_class=3))
    assert len(subset) == 30
    assert all(row.numpy().tobytes() in whole for row in subset)


def test_chosen_classes_keep_their_labels() -> None:
    data = digits("classes:7,2", images_per_class=4)
    assert torch.bincount(data.train.labels).tolist() == [0, 0, 4, 0, 0, 0, 0, 4]
    assert sorted(data.test.labels.unique().tolist()) == [2, 7]
    assert data.classes == list("0123456789")
    assert digits("classes:1,2", "classes:2,3").train.labels.unique().tolist() == [2]


def test_unknown_and_contradicting_classes() -> None:
    with pytest.raises(ConfigError, match="'12' is no class"):
        digits("classes:12")
    with pytest.raises(ConfigError, match="no class is left"):
        digits("classes:1", "classes:2")


@pytest.mark.parametrize("shift", ["rotate:90", "invert", "blur:1"])
def test_image_shifts_need_images(shift: str) -> None:
    with pytest.raises(ConfigError, match=f"{shift.split(':')[0]} needs images"):
        load_dataset(DataConfig(name="synthetic", shift=[shift]))


def test_noise_on_float_data() -> None:
    data = load_dataset(DataConfig(name="xor", shift=["noise:0.5"]))
    moved = every_input(data) - every_input(load_dataset(DataConfig(name="xor")))
    assert 0.05 < float(moved.abs().mean()) < 1.5
