"""Which options of the configuration make sense for the data at hand."""

from __future__ import annotations

import torch
from torch import Tensor

from ..config.data import DataConfig
from ..config.shift import Shift
from ..errors import ConfigError
from .augment import Augmentation
from .base import Source, has_labels, is_image, shape_text

_IMAGE_SHIFTS = ("rotate", "invert", "blur")
_FROM_FILES = ("image-folder", "arrays", "cifar10")
_OWN_TEST_SPLIT = ("cifar10", "xor", "synthetic")


def check_options(config: DataConfig, source: Source, shifts: list[Shift]) -> None:
    """Finds every option that can't be applied to this data.

    Raises:
        ConfigError: with all problems.
    """
    sample = source.train.inputs([0])[0]
    problems = [] if is_image(sample) else _image_problems(config, shifts, sample)
    if sample.dtype == torch.int64 and any(shift.kind == "noise" for shift in shifts):
        problems.append("data.shift: noise can't be added to integer ids")
    if not has_labels(source.train):
        problems += _label_problems(config, shifts)
    problems += _unused(config)
    if problems:
        raise ConfigError(problems)


def _unused(config: DataConfig) -> list[str]:
    """What the reader of this data set doesn't look at."""
    problems = []
    if config.args and config.name != "synthetic":
        problems.append(f"data.args: {config.name} takes no arguments; only synthetic does")
    if config.root is not None and config.name not in _FROM_FILES:
        problems.append(
            f"data.root: {config.name} reads no files; leave out --data-dir, or name the data set there, "
            f"as in --data {_FROM_FILES[0]}"
        )
    usual_fraction = DataConfig.model_fields["test_fraction"].default
    if config.test_fraction != usual_fraction and config.name in _OWN_TEST_SPLIT:
        problems.append(f"data.test_fraction: {config.name} has a test split of its own; leave it out")
    return problems


def _image_problems(config: DataConfig, shifts: list[Shift], sample: Tensor) -> list[str]:
    given = {
        "data.image_size": config.image_size,
        "data.channels": config.channels,
        "data.flip": config.flip,
        "data.crop_padding": config.crop_padding,
    }
    asked = [name for name, value in given.items() if value]
    asked += [f"data.shift: {shift.kind}" for shift in shifts if shift.kind in _IMAGE_SHIFTS]
    kind = f"{str(sample.dtype).removeprefix('torch.')} {shape_text(sample.shape)}"
    return [
        f"{name} needs images (uint8, 1 or 3 channels first), the samples of {config.name} are {kind}"
        for name in asked
    ]


def _label_problems(config: DataConfig, shifts: list[Shift]) -> list[str]:
    given = {
        "data.images_per_class": config.images_per_class,
        "data.test_images_per_class": config.test_images_per_class,
    }
    asked = [name for name, value in given.items() if value is not None]
    asked += ["data.shift: classes" for shift in shifts if shift.kind == "classes"]
    return [
        f"{name} needs one class label per sample, the targets of {config.name} have none" for name in asked
    ]


def choose_augmentation(config: DataConfig, source: Source, sample: Tensor) -> Augmentation:
    """What is usual for the data, changed by what is configured.

    Args:
        sample: one prepared sample; the usual crop moves images by an eighth of their smaller side.
    Raises:
        ConfigError: images would be moved out of sight.
    """
    if not config.augment or not is_image(sample):
        return Augmentation()
    side = min(sample.shape[-2:])
    usual = source.augmentation
    if usual is None:
        usual = Augmentation(source.flips, max(1, round(side / 8)) if source.crops else 0)
    padding = usual.crop_padding if config.crop_padding is None else config.crop_padding
    if padding >= side:
        raise ConfigError(
            [f"data.crop_padding: {padding} pixels would move images of {side} pixels out of sight"]
        )
    return Augmentation(usual.flip if config.flip is None else config.flip, padding)
