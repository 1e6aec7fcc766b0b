"""The way from a configuration to a data set ready for use."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import ValidationError
from torch import Tensor

from ..artifacts.specs import InputSpec, Preprocessing, TensorSpec
from ..config.data import DataConfig
from ..config.names import DATA_SETS, IGNORED_PIXEL, load_entry
from ..config.shift import Shift, parse_shift
from ..errors import InputError
from ..reporting import SILENT, Reporter
from .base import Dataset, Samples, Source, Split, TensorSplit, images_of, masks_of
from .images import convert_channels, resize, resize_masks
from .normalize import check_preprocessing, choose_preprocessing, warn_of_small_numbers
from .options import check_options, choose_augmentation
from .prepared import PreparedSplit, Transform, hold_in_memory
from .shifts import chosen_labels, transform_for
from .subset import balance, choose_classes, warn_all


def load_dataset(
    config: DataConfig,
    reporter: Reporter = SILENT,
    program: Mapping[str, InputSpec] | None = None,
    *,
    in_memory: bool = True,
) -> Dataset:
    """Reads a data set and applies all that `config` says about it.

    Args:
        program: inputs of the program the data is for, which bring their preprocessing; without them, config
            and data decide.
        in_memory: compute all samples now and hold them, where they fit; otherwise each when it is asked for.
    Raises:
        UsageError: something needed, such as `--data-dir`, isn't given, or mean and std contradict
            the program's.
        ConfigError: the configuration doesn't fit this data set.
        InputError: the data is missing or damaged.
    """
    if program is not None:
        check_preprocessing(config, program)
    source: Source = load_entry(DATA_SETS[config.name], __package__)(config, reporter)
    shifts = [parse_shift(text) for text in config.shift]
    check_options(config, source, shifts)
    first = source.train.samples([0])
    layout = _layout(config, first)
    unshifted = PreparedSplit(source.train, torch.arange(len(source.train)), layout)
    if program is None:
        preprocessing = choose_preprocessing(config, source, unshifted)
    else:
        preprocessing = {name: spec.preprocessing for name, spec in program.items()}
        if any(values.is_floating_point() for values in first.inputs.values()):
            warn_of_small_numbers(unshifted.inputs(range(min(64, len(unshifted)))), program, reporter)
    ignored = IGNORED_PIXEL if source.ignored is None else source.ignored
    transforms = {
        name: [*layout, *_shifting(config, shifts, name, unshifted.samples([0]), ignored)]
        for name in ("train", "test")
    }
    train, test = (_prepare(config, source, n, transforms[n], shifts, reporter) for n in ("train", "test"))
    if in_memory:
        train = hold_in_memory(train, reporter, "preparing train samples")
        test = hold_in_memory(test, reporter, "preparing test samples")
    sample = train.samples([0])
    inputs, targets = _specs(config, sample, preprocessing)
    return Dataset(
        name=config.name,
        train=train,
        test=test,
        inputs=inputs,
        targets=targets,
        classes=source.classes,
        outputs=source.outputs,
        task=source.task,
        ignored=source.ignored,
        augmentation=choose_augmentation(config, source, sample, ignored),
    )


def _specs(
    config: DataConfig, sample: Samples, preprocessing: Mapping[str, Preprocessing]
) -> tuple[dict[str, InputSpec], dict[str, TensorSpec]]:
    """Inputs and targets as a model sees them. An input that the program doesn't know stays as it is stored:
    `check_fits` refuses it."""
    try:
        inputs = {
            name: InputSpec(
                shape=tuple(values.shape[1:]),
                dtype="int64" if values.dtype == torch.int64 else "float32",
                preprocessing=preprocessing.get(name, Preprocessing()),
            )
            for name, values in sample.inputs.items()
        }
        targets = {
            name: TensorSpec(
                shape=tuple(values.shape[1:]), dtype="int64" if values.dtype == torch.int64 else "float32"
            )
            for name, values in sample.targets.items()
        }
    except ValidationError as error:
        raise InputError(
            f"a sample of {config.name} is too large: it may have 8 dimensions of up to {2**20:,} numbers"
        ) from error
    return inputs, targets


def _layout(config: DataConfig, sample: Samples) -> list[Transform]:
    """Channels and size; for images a reader already brought into this form, nothing happens."""
    channels, size, images = config.channels, config.image_size, images_of(sample)
    transforms: list[Transform] = []
    if channels is not None:
        transforms.append(
            Transform(dict.fromkeys(images, lambda values, rows: convert_channels(values, channels)))
        )
    if size is not None:
        transforms.append(
            Transform(
                dict.fromkeys(images, lambda values, rows: resize(values, size)),
                dict.fromkeys(masks_of(sample), lambda labels, rows: resize_masks(labels, size)),
            )
        )
    return transforms


def _shifting(
    config: DataConfig, shifts: list[Shift], name: str, sample: Samples, ignored: int
) -> list[Transform]:
    return [transform_for(s, config.seed, name, sample, ignored) for s in shifts if s.kind != "classes"]


def _prepare(
    config: DataConfig,
    source: Source,
    name: str,
    transforms: list[Transform],
    shifts: list[Shift],
    reporter: Reporter,
) -> Split:
    """One split with its samples chosen, brought into shape and shifted."""
    split = source.train if name == "train" else source.test
    rows = _choose(config, source, name, shifts, reporter)
    if len(rows) == 0:
        raise InputError(f"no {name} samples are left; choose other classes or a larger test_fraction")
    if isinstance(split, TensorSplit) and not transforms:
        return split if len(rows) == len(split) else split.part(rows)
    return PreparedSplit(split, rows, transforms)


def _choose(config: DataConfig, source: Source, name: str, shifts: list[Shift], reporter: Reporter) -> Tensor:
    """Sorted positions, int64, of the samples in use."""
    split = source.train if name == "train" else source.test
    if source.classes is None or split.labels is None:
        return torch.arange(len(split))
    chosen = chosen_labels(shifts, source.classes)
    per_class = config.images_per_class if name == "train" else config.test_images_per_class
    if per_class is None:
        return choose_classes(split.labels, chosen)
    rows, warnings = balance(split.labels, source.classes, chosen, per_class, config.seed, name)
    warn_all(reporter, warnings)
    return rows
