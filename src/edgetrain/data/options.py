"""Which options of the configuration make sense for the data at hand."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..config.data import DataConfig
from ..config.shift import Shift
from ..errors import ConfigError
from .augment import Augmentation
from .base import Samples, Source, dtype_text, images_of, masks_of, shape_text

_IMAGE_SHIFTS = ("rotate", "invert", "blur")
_FROM_FILES = ("image-folder", "arrays", "text", "cifar10")
_OWN_TEST_SPLIT = ("cifar10", "xor", "synthetic")
# Options that one reader alone looks at.
_ONLY_FOR = {
    "args": ("synthetic", "takes no arguments; only synthetic does"),
    "inputs": ("arrays", "has no arrays to choose from; only arrays does"),
    "targets": ("arrays", "has no arrays to choose from; only arrays does"),
    "length": ("text", "is not cut into tokens; only text is"),
    "tokenizer": ("text", "is not cut into tokens; only text is"),
}


def check_options(config: DataConfig, source: Source, shifts: list[Shift]) -> None:
    """Finds every option that can't be applied to this data.

    Raises:
        ConfigError: with all problems.
    """
    sample = source.train.samples([0])
    problems = _moved_alone(config, shifts, sample) if images_of(sample) else []
    problems += [] if images_of(sample) else _image_problems(config, shifts, sample)
    only_ids = all(values.dtype == torch.int64 for values in sample.inputs.values())
    if only_ids and any(shift.kind == "noise" for shift in shifts):
        problems.append("data.shift: noise can't be added to integer ids")
    if source.train.labels is None:
        problems += _label_problems(config, shifts)
    problems += _unused(config)
    if problems:
        raise ConfigError(problems)


def _unused(config: DataConfig) -> list[str]:
    """What the reader of this data set doesn't look at."""
    problems = [
        f"data.{key}: {config.name} {why}"
        for key, (reader, why) in _ONLY_FOR.items()
        if config.name != reader and getattr(config, key) != _default(key)
    ]
    if config.root is not None and config.name not in _FROM_FILES:
        problems.append(
            f"data.root: {config.name} reads no files; leave out --data-dir, or name the data set there, "
            f"as in --data {_FROM_FILES[0]}"
        )
    if config.test_fraction != _default("test_fraction") and config.name in _OWN_TEST_SPLIT:
        problems.append(f"data.test_fraction: {config.name} has a test split of its own; leave it out")
    return problems


def _default(key: str) -> object:
    return DataConfig.model_fields[key].get_default(call_default_factory=True)


def _image_problems(config: DataConfig, shifts: list[Shift], sample: Samples) -> list[str]:
    given = {
        "data.image_size": config.image_size,
        "data.channels": config.channels,
        "data.flip": config.flip,
        "data.crop_padding": config.crop_padding,
    }
    asked = [name for name, value in given.items() if value]
    asked += [f"data.shift: {shift.kind}" for shift in shifts if shift.kind in _IMAGE_SHIFTS]
    kinds = _kinds(sample.inputs)
    return [
        f"{name} needs images (uint8, 1 or 3 channels first), the samples of {config.name} are {kinds}"
        for name in asked
    ]


def _kinds(tensors: Mapping[str, Tensor]) -> str:
    return " and ".join(f"{dtype_text(t.dtype)} {shape_text(t.shape[1:])}" for t in tensors.values())


def _moved_alone(config: DataConfig, shifts: list[Shift], sample: Samples) -> list[str]:
    """What would move images away from targets that have a number for each of their pixels."""
    sizes = {sample.inputs[name].shape[-2:] for name in images_of(sample)}
    left_behind = {
        name: values
        for name, values in sample.targets.items()
        if values.dim() > 2 and values.shape[-2:] in sizes and name not in masks_of(sample)
    }
    if not left_behind:
        return []
    given = {
        "data.image_size": config.image_size,
        "data.flip": config.flip,
        "data.crop_padding": config.crop_padding,
    }
    asked = [name for name, value in given.items() if value]
    asked += ["data.shift: rotate" for shift in shifts if shift.kind == "rotate"]
    return [
        f"{name} would change images but not the targets {', '.join(left_behind)} ({_kinds(left_behind)}); "
        "only masks of class labels follow their images"
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


def choose_augmentation(config: DataConfig, source: Source, sample: Samples, ignored: int) -> Augmentation:
    """What is usual for the data, changed by what is configured.

    Args:
        sample: one prepared sample; the usual crop moves images by an eighth of their smaller side.
        ignored: label of pixels that come into masks from outside.
    Raises:
        ConfigError: images would be moved out of sight.
    """
    images = images_of(sample)
    if not config.augment or not images:
        return Augmentation()
    side = min(min(sample.inputs[name].shape[-2:]) for name in images)
    usual = source.augmentation
    if usual is None:
        usual = Augmentation(source.flips, max(1, round(side / 8)) if source.crops else 0)
    padding = usual.crop_padding if config.crop_padding is None else config.crop_padding
    if padding >= side:
        raise ConfigError(
            [f"data.crop_padding: {padding} pixels would move images of {side} pixels out of sight"]
        )
    flip = usual.flip if config.flip is None else config.flip
    if not flip and not padding:
        return Augmentation()
    return Augmentation(flip, padding, tuple(images), dict.fromkeys(masks_of(sample), ignored))
