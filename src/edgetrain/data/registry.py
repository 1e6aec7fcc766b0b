"""Which data sets there are, and the way from a configuration to a data set ready for use."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..artifacts.specs import Preprocessing, TensorSpec
from ..config.data import DataConfig
from ..config.shift import Shift, parse_shift
from ..errors import InputError
from ..reporting import SILENT, Reporter
from .arrays import read_arrays
from .base import Dataset, Source, Split, TensorSplit, has_labels
from .cifar10 import read_cifar10
from .digits import read_digits
from .image_folder import read_image_folder
from .images import convert_channels, resize
from .normalize import check_preprocessing, choose_preprocessing
from .options import check_options, choose_augmentation
from .prepared import PreparedSplit, Transform, hold_in_memory
from .shifts import chosen_labels, transform_for
from .subset import balance, choose_classes, warn_all
from .synthetic import read_synthetic
from .xor import read_xor

READERS: dict[str, Callable[[DataConfig, Reporter], Source]] = {
    "digits": read_digits,
    "cifar10": read_cifar10,
    "image-folder": read_image_folder,
    "arrays": read_arrays,
    "xor": read_xor,
    "synthetic": read_synthetic,
}


def load_dataset(
    config: DataConfig,
    reporter: Reporter = SILENT,
    preprocessing: Preprocessing | None = None,
    *,
    in_memory: bool = True,
) -> Dataset:
    """Reads a data set and applies all that `config` says about it.

    Args:
        preprocessing: that of the program the data is for; without one, config and data decide.
        in_memory: compute all samples now and hold them, where they fit; otherwise each when it is asked for.
    Raises:
        UsageError: something needed, such as `--data-dir`, isn't given, or mean and std contradict
            `preprocessing`.
        ConfigError: the configuration doesn't fit this data set.
        InputError: the data is missing or damaged.
    """
    if preprocessing is not None:
        check_preprocessing(config, preprocessing)
    source = READERS[config.name](config, reporter)
    shifts = [parse_shift(text) for text in config.shift]
    check_options(config, source, shifts)
    layout = _layout(config)
    if preprocessing is None:
        every_row = torch.arange(len(source.train))
        unshifted = PreparedSplit(source.train, every_row, layout)
        preprocessing = choose_preprocessing(config, source, unshifted)
    train = _prepare(config, source, "train", layout, shifts, reporter)
    test = _prepare(config, source, "test", layout, shifts, reporter)
    if in_memory:
        train = hold_in_memory(train, reporter, "preparing train samples")
        test = hold_in_memory(test, reporter, "preparing test samples")
    sample = train.inputs([0])[0]
    return Dataset(
        name=config.name,
        train=train,
        test=test,
        input=TensorSpec(
            shape=tuple(sample.shape), dtype="int64" if sample.dtype == torch.int64 else "float32"
        ),
        preprocessing=preprocessing,
        classes=source.classes,
        augmentation=choose_augmentation(config, source, sample),
    )


def _layout(config: DataConfig) -> list[Transform]:
    """Channels and size; for images a reader already brought into this form, nothing happens."""
    channels, size = config.channels, config.image_size
    transforms: list[Transform] = []
    if channels is not None:
        transforms.append(lambda samples, rows: convert_channels(samples, channels))
    if size is not None:
        transforms.append(lambda samples, rows: resize(samples, size))
    return transforms


def _prepare(
    config: DataConfig,
    source: Source,
    name: str,
    layout: list[Transform],
    shifts: list[Shift],
    reporter: Reporter,
) -> Split:
    """One split with its samples chosen, brought into shape and shifted."""
    split = source.train if name == "train" else source.test
    rows = _choose(config, source, name, shifts, reporter)
    if len(rows) == 0:
        raise InputError(f"no {name} samples are left; choose other classes or a larger test_fraction")
    transforms = layout + [transform_for(s, config.seed, name) for s in shifts if s.kind != "classes"]
    if isinstance(split, TensorSplit) and not transforms:
        return split if len(rows) == len(split) else TensorSplit(split.inputs(rows), split.targets[rows])
    return PreparedSplit(split, rows, transforms)


def _choose(
    config: DataConfig, source: Source, name: str, shifts: list[Shift], reporter: Reporter
) -> torch.Tensor:
    """Sorted positions, int64, of the samples in use."""
    split = source.train if name == "train" else source.test
    if source.classes is None or not has_labels(split):
        return torch.arange(len(split))
    labels = chosen_labels(shifts, source.classes)
    per_class = config.images_per_class if name == "train" else config.test_images_per_class
    if per_class is None:
        return choose_classes(split.targets, labels)
    rows, warnings = balance(split.targets, source.classes, labels, per_class, config.seed, name)
    warn_all(reporter, warnings)
    return rows
