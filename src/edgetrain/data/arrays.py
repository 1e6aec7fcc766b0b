"""`arrays`: one's own samples of any shape, from a .npz or .safetensors file or a packed data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..artifacts.packed import PackedDataset
from ..config.data import DataConfig
from ..config.names import IGNORED_PIXEL, IGNORED_TOKEN
from ..errors import InputError, UsageError
from ..reporting import Reporter
from .array_names import Part, read_inputs, read_parts
from .augment import Augmentation
from .base import Source, Split, TensorSplit, dtype_text
from .packed import is_packed, read_packed
from .prepared import bytes_of, chunks
from .subset import hold_out

_MOST_CLASSES = 100_000


def read_arrays(config: DataConfig, reporter: Reporter) -> Source:
    """Reads the inputs and targets that `data.inputs` and `data.targets` name, or `inputs` and `targets`; and
    those of a test part where the file has one.

    Inputs stay uint8 or become float32 (or int64 ids); integer targets become labels, floating-point ones
    float32 values. Without a test part, `data.test_fraction` of the samples is held out. What `edgetrain
    pack` wrote keeps its classes, its normalisation and its usual augmentation.

    Raises:
        UsageError: no file is given, or an array is named twice.
        InputError: the file is missing or damaged, or its arrays don't fit together.
    """
    path = config.root
    if path is None:
        raise UsageError("--data arrays needs --data-dir FILE, a .npz, .safetensors or packed .ptd file")
    packed = read_packed(path, config) if is_packed(path) else None
    train_part, test_part = (packed.train, packed.test) if packed else read_parts(path, config)
    train = _split(train_part, path)
    if test_part is None:
        train, test = _hold_out(train, config)
    else:
        test = _split(test_part, path)
        _check_alike(train, test, path)
    source = _with_classes(Source(train=train, test=test, classes=None))
    if packed is None or packed.description is None:
        return source
    return _described(source, packed.description, path)


def first_inputs(path: Path, config: DataConfig, most: int) -> dict[str, Tensor]:
    """The inputs of the first samples of a file, by name, as `read_arrays` stores them. The file may have no
    targets.

    Raises:
        as `read_arrays`.
    """
    part = read_packed(path, config).train if is_packed(path) else read_inputs(path, config)
    split = _split(Part(part.inputs, {}), path)
    return split.inputs(torch.arange(min(most, len(split))))


def every_sample(path: Path, config: DataConfig, split: str) -> tuple[TensorSplit, list[str] | None]:
    """All samples of a file, or of one part where it has a training and a test part. They have targets where
    the file has.

    Args:
        split: `train` or `test`.
    Returns:
        them, and the names of their classes where the file has these.
    Raises:
        as `read_arrays`.
    """
    if is_packed(path):
        packed = read_packed(path, config)
        train, test, description = packed.train, packed.test, packed.description
    else:
        (train, test), description = read_parts(path, config, targets_needed=False), None
    chosen = _split(train if split == "train" or test is None else test, path)
    return chosen, None if description is None else description.classes


def _described(source: Source, description: PackedDataset, path: Path) -> Source:
    """The source with what its description knows and its arrays don't."""
    names = description.classes
    if names is not None and source.classes is not None and len(source.classes) > len(names):
        raise InputError(
            f"{path} has labels up to {len(source.classes) - 1}, but its description names {len(names)} "
            "classes; pack the data again"
        )
    usual = description.augmentation
    return replace(
        source,
        classes=names,
        outputs=description.outputs,
        task=description.task,
        ignored=description.ignored,
        preprocessing={name: stored.preprocessing for name, stored in description.inputs.items()},
        measure=True,
        augmentation=Augmentation(usual.flip, usual.crop_padding),
    )


def _split(part: Part, path: Path) -> TensorSplit:
    arrays = {f"{part.prefix}{name}": a for name, a in (*part.inputs.items(), *part.targets.items())}
    if any(a.dim() == 0 for a in arrays.values()) or len({len(a) for a in arrays.values()}) != 1:
        shapes = ", ".join(f"{name} have shape {list(a.shape)}" for name, a in arrays.items())
        raise InputError(f"{path}: {shapes}; all need one entry per sample first")
    empty = next((name for name in part.inputs if part.inputs[name].numel() == 0), None)
    if empty is not None:
        raise InputError(f"{path}: {part.prefix}{empty} are empty")
    return TensorSplit(
        {name: _inputs(values, f"{part.prefix}{name}", path) for name, values in part.inputs.items()},
        {name: _targets(values, f"{part.prefix}{name}", path) for name, values in part.targets.items()},
    )


def _inputs(values: Tensor, name: str, path: Path) -> Tensor:
    if values.dim() == 1:
        values = values.unsqueeze(1)
    if values.dtype == torch.uint8:
        return values
    if values.is_floating_point() or values.dtype == torch.bool:
        return _finite(values.to(torch.float32), name, path)
    _refuse_complex(values, name, path)
    return values.to(torch.int64)


def _targets(values: Tensor, name: str, path: Path) -> Tensor:
    if values.is_floating_point():
        return _finite(values.to(torch.float32), name, path)
    _refuse_complex(values, name, path)
    labels = values.squeeze(1) if values.dim() == 2 and values.shape[1] == 1 else values
    if labels.dtype != torch.uint8 or labels.dim() == 1:  # masks stay as small as they are
        labels = labels.to(torch.int64)
    _check_labels(labels, name, path)
    return labels


def _check_labels(labels: Tensor, name: str, path: Path) -> None:
    """Pixels and tokens may also have a label that counts for nothing, as -100."""
    if labels.numel() == 0:
        raise InputError(f"{path}: {name} are empty")
    if labels.dim() == 1 and int(labels.min()) < 0:
        where = int(labels.argmin())
        raise InputError(f"{path}: {name}[{where}] is {int(labels[where])}; labels count from 0")
    largest = int(labels.max())
    if largest >= _MOST_CLASSES:
        raise InputError(
            f"{path}: {name} go up to {largest}, too many classes; store regression targets as float32"
        )


def _refuse_complex(values: Tensor, name: str, path: Path) -> None:
    if values.is_complex():
        raise InputError(f"{path}: {name} hold complex numbers; store real ones")


def _finite(values: Tensor, name: str, path: Path) -> Tensor:
    if values.numel() == 0:
        return values
    for first, last in chunks(len(values), values[0].numel() * values.element_size()):
        bad = torch.nonzero(~torch.isfinite(values[first:last]))
        if len(bad):
            where = ", ".join(map(str, [first + int(bad[0, 0]), *bad[0, 1:].tolist()]))
            raise InputError(f"{path}: {name}[{where}] is not a finite float32 number")
    return values


def _check_alike(train: TensorSplit, test: TensorSplit, path: Path) -> None:
    one, other = train.samples([0]), test.samples([0])
    for name, here in (one.inputs | one.targets).items():
        there = (other.inputs | other.targets)[name]
        if here.shape != there.shape or here.dtype != there.dtype:
            raise InputError(
                f"{path}: a sample's {name} are {dtype_text(here.dtype)} {list(here.shape[1:])} for training "
                f"and {dtype_text(there.dtype)} {list(there.shape[1:])} for testing; they must be alike"
            )


def _hold_out(every: TensorSplit, config: DataConfig) -> tuple[TensorSplit, TensorSplit]:
    train, test = hold_out(len(every), every.labels, config.test_fraction, config.seed)
    if len(test) == 0:
        raise InputError(
            f"{config.root}: too few samples ({len(every)}) to hold some out for testing; "
            "add test_inputs and test_targets to the file"
        )
    return every.part(train), every.part(test)


def _with_classes(source: Source) -> Source:
    """The source with classes called by their numbers, where its only targets are labels; and with the label
    that counts for nothing, of pixels ([N, H, W]) or tokens ([N, T]): a negative one, or the usual one."""
    targets = list(source.train.targets([0]).values())
    if len(targets) != 1 or targets[0].dtype != torch.int64:
        return source
    splits = (source.train, source.test)
    ranges = [_label_range(split, None) for split in splits]
    smallest, largest = min(low for low, _ in ranges), max(high for _, high in ranges)
    ignored: int | None = None
    if targets[0].dim() == 2:
        ignored = smallest if smallest < 0 else IGNORED_TOKEN
    elif targets[0].dim() > 2:
        ignored = smallest if smallest < 0 else IGNORED_PIXEL if largest <= IGNORED_PIXEL else IGNORED_TOKEN
        if ignored == largest:
            largest = max(_label_range(split, ignored)[1] for split in splits)
    return replace(source, classes=[str(label) for label in range(largest + 1)], ignored=ignored)


def _label_range(split: Split, left_out: int | None) -> tuple[int, int]:
    """The smallest and the largest label; 0 counts as one of them."""
    smallest = largest = 0
    for first, last in chunks(len(split), bytes_of(split.targets([0]))):
        labels = next(iter(split.targets(torch.arange(first, last)).values()))
        kept = labels if left_out is None else labels[labels != left_out]
        if kept.numel():
            smallest, largest = min(smallest, int(kept.min())), max(largest, int(kept.max()))
    return smallest, largest
