"""`digits`, and the options every data set has, on it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from edgetrain.config.data import DataConfig
from edgetrain.data import Dataset, load_dataset
from edgetrain.data.augment import Augmentation
from edgetrain.errors import ConfigError
from edgetrain.reporting import Reporter


class Warnings(Reporter):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def warn(self, message: str) -> None:
        self.heard.append(message)


def digits(**options: Any) -> Dataset:
    return load_dataset(DataConfig(name="digits", **options))


def every_input(dataset: Dataset, split: str = "train") -> torch.Tensor:
    part = getattr(dataset, split)
    return part.inputs(range(len(part)))["inputs"]


def test_has_all_digits_in_a_stratified_split() -> None:
    data = digits()
    assert (len(data.train), len(data.test)) == (1437, 360)
    assert data.inputs["inputs"].shape == (1, 8, 8)
    assert data.classes == list("0123456789")
    whole = torch.bincount(torch.cat([data.train.labels, data.test.labels]))
    assert whole.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    share = torch.bincount(data.test.labels) / whole
    assert float(share.min()) > 0.19
    assert float(share.max()) < 0.21
    images = every_input(data)
    assert images.dtype == torch.uint8
    assert (int(images.min()), int(images.max())) == (0, 255)


def test_the_constants_normalise_it() -> None:
    data = digits()
    x = data.preprocessing["inputs"].apply(torch.cat([every_input(data), every_input(data, "test")]))
    assert abs(float(x.mean())) < 1e-3
    assert abs(float(x.std()) - 1) < 1e-3


def test_the_seed_decides_the_split() -> None:
    assert torch.equal(every_input(digits(seed=1)), every_input(digits(seed=1)))
    assert not torch.equal(digits(seed=1).train.labels, digits(seed=2).train.labels)


def test_test_fraction_sets_the_size() -> None:
    assert len(digits(test_fraction=0.5).test) == 899


def test_balanced_subsets_hold_the_same_number_of_each_and_are_nested() -> None:
    small = digits(images_per_class=5, test_images_per_class=3)
    assert torch.bincount(small.train.labels).tolist() == [5] * 10
    assert torch.bincount(small.test.labels).tolist() == [3] * 10
    larger = {row.numpy().tobytes() for row in every_input(digits(images_per_class=20))}
    assert all(row.numpy().tobytes() in larger for row in every_input(small))
    other = digits(images_per_class=5, seed=9)
    assert not torch.equal(every_input(small), every_input(other))


def test_a_class_with_too_few_samples_is_named() -> None:
    reporter = Warnings()
    config = DataConfig(name="digits", test_images_per_class=36)
    data = load_dataset(config, reporter)
    few = [label for label, count in enumerate(torch.bincount(data.test.labels).tolist()) if count < 36]
    assert few
    assert len(reporter.heard) == len(few)
    assert f"class '{few[0]}' has 35 test samples, fewer than the 36 asked for" in reporter.heard[0]


def test_size_and_channels() -> None:
    data = digits(image_size=32, channels=3)
    assert data.inputs["inputs"].shape == (3, 32, 32)
    images = every_input(data)
    assert images.shape == (1437, 3, 32, 32)
    assert torch.equal(images[:, 0], images[:, 2])
    assert abs(float(images.float().mean()) - float(every_input(digits()).float().mean())) < 2.0
    assert data.augmentation == Augmentation(crop_padding=4, images=("inputs",))
    assert data.preprocessing["inputs"].apply(images[:2]).shape == (2, 3, 32, 32)


def test_augmentation_is_usual_configured_or_off() -> None:
    assert digits().augmentation == Augmentation(False, 1, ("inputs",))
    assert digits(flip=True, crop_padding=2).augmentation == Augmentation(True, 2, ("inputs",))
    assert digits(augment=False, flip=True).augmentation == Augmentation()
    assert digits(crop_padding=0).augmentation == Augmentation()
    with pytest.raises(ConfigError, match="8 pixels would move images of 8 pixels out of sight"):
        digits(crop_padding=8)


def test_mean_and_std_can_be_given() -> None:
    data = digits(mean=[0.5], std=[0.25])
    assert (data.preprocessing["inputs"].mean, data.preprocessing["inputs"].std) == ((0.5,), (0.25,))
    with pytest.raises(ConfigError, match="2 values for 1 channels; give 1 or 1"):
        digits(mean=[0.5, 0.5], std=[0.25, 0.25])


def test_takes_no_arguments() -> None:
    with pytest.raises(ConfigError, match="digits takes no arguments; only synthetic does"):
        digits(args={"samples": 3})


def test_reads_no_files() -> None:
    with pytest.raises(ConfigError, match=r"data\.root: digits reads no files; .* as in --data image-folder"):
        digits(root="images")
