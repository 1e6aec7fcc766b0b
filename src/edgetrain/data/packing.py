"""Writing a data set as a .ptd that a device can map into memory, and its description beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ..artifacts.manifest import file_record
from ..artifacts.packed import (
    INPUTS,
    TARGETS,
    PackedDataset,
    StoredTensor,
    UsualAugmentation,
    description_path,
    save_description,
)
from ..artifacts.specs import Task
from ..artifacts.tensor_stream import TensorStream, write_tensor_streams
from ..config.data import DataConfig
from ..reporting import SILENT, Reporter
from .base import Dataset, Split, has_labels
from .prepared import chunks
from .registry import load_dataset

SplitName = Literal["train", "test"]


def output_files(path: Path) -> list[Path]:
    """Every file that packing to `path` writes."""
    return [path, description_path(path)]


def pack_dataset(
    config: DataConfig, name: SplitName, path: Path, reporter: Reporter = SILENT
) -> PackedDataset:
    """Packs one split of a data set to `path`, and describes it in a .json beside it.

    Raises:
        ConfigError, UsageError, InputError: as `load_dataset`.
    """
    dataset = load_dataset(config, reporter, in_memory=False)
    split = dataset.train if name == "train" else dataset.test
    pack_split(split, path, reporter)
    described = _describe(dataset, name, split, path, config)
    save_description(description_path(path), described)
    return described


def pack_split(split: Split, path: Path, reporter: Reporter = SILENT) -> None:
    """Writes the samples as they are stored, and their targets. Equal splits give equal bytes.

    The file replaces `path` in one step. A few samples at a time are in memory.
    """
    sample = split.inputs([0])
    with reporter.progress(f"packing to {path.name}", total=len(split)) as progress:
        tensors = {
            INPUTS: TensorStream(
                (len(split), *sample.shape[1:]), sample.dtype, _pieces(split, sample, progress.advance)
            ),
            TARGETS: TensorStream(tuple(split.targets.shape), split.targets.dtype, [split.targets]),
        }
        write_tensor_streams(path, tensors)


def _pieces(split: Split, sample: Tensor, advance: Callable[[int], None]) -> Iterator[Tensor]:
    for first, last in chunks(len(split), sample.numel() * sample.element_size()):
        yield split.inputs(torch.arange(first, last))
        advance(last - first)


def _describe(
    dataset: Dataset, name: SplitName, split: Split, path: Path, config: DataConfig
) -> PackedDataset:
    augmentation = dataset.augmentation
    return PackedDataset(
        file=file_record(path),
        samples=len(split),
        split=name,
        input=_stored(split.inputs([0])),
        targets=_stored(split.targets),
        task=_task(dataset, split),
        preprocessing=dataset.preprocessing,
        augmentation=UsualAugmentation(flip=augmentation.flip, crop_padding=augmentation.crop_padding),
        config=config.model_dump(mode="json"),
    )


def _stored(tensor: Tensor) -> StoredTensor:
    return StoredTensor.model_validate(
        {"shape": list(tensor.shape[1:]), "dtype": str(tensor.dtype).removeprefix("torch.")}
    )


def _task(dataset: Dataset, split: Split) -> Task:
    """What such targets are usually trained with."""
    if has_labels(split):
        return Task(loss="cross_entropy", classes=dataset.classes)
    return Task(loss="mse" if dataset.classes is None else "bce_with_logits", classes=dataset.classes)
