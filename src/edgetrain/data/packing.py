"""Writing a data set as a .ptd that a device can map into memory, and its description beside it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ..artifacts.commit import written_together
from ..artifacts.kinds import Written
from ..artifacts.manifest import file_record
from ..artifacts.packed import (
    PackedDataset,
    StoredInput,
    StoredTensor,
    UsualAugmentation,
    description_path,
    save_description,
)
from ..artifacts.specs import TensorSpec
from ..artifacts.tensor_stream import TensorStream, write_tensor_streams
from ..config.data import DataConfig
from ..config.names import TASK_OF_LABELS
from ..errors import InputError
from ..reporting import SILENT, Piece, Progress, Reporter
from .base import Dataset, Samples, Split, dtype_text
from .prepared import bytes_of, chunks
from .registry import load_dataset

SplitName = Literal["train", "test"]


def output_files(path: Path) -> dict[Path, Written]:
    """Every file that packing to `path` writes, and what it holds."""
    return {path: "packed data set", description_path(path): "description of packed data"}


def pack_dataset(
    config: DataConfig, name: SplitName, path: Path, reporter: Reporter = SILENT
) -> PackedDataset:
    """Packs one split of a data set to `path`, and describes it in a .json beside it.

    Raises:
        ConfigError, UsageError, InputError: as `load_dataset`.
    """
    dataset = load_dataset(config, reporter, in_memory=False)
    split = dataset.train if name == "train" else dataset.test
    with written_together(path.with_suffix("")) as folder:
        new = folder / path.name
        stored = pack_split(split, new, reporter, as_bytes=byte_targets(dataset))
        described = _describe(dataset, name, len(split), stored, new, config)
        save_description(description_path(new), described)
    return described


def byte_targets(dataset: Dataset) -> list[str]:
    """Targets with a class for every pixel or token, all of which fit into a byte. That depends on the
    classes and not on the labels of a split, so that all parts of a data set are laid out alike."""
    classes = len(dataset.classes) if dataset.classes is not None else dataset.outputs
    if classes is None or classes > 256 or not 0 <= (dataset.ignored or 0) <= 255:
        return []
    return [name for name, spec in dataset.targets.items() if spec.dtype == "int64" and spec.shape]


def pack_split(
    split: Split, path: Path, reporter: Reporter = SILENT, *, as_bytes: Collection[str] = ()
) -> Samples:
    """Writes the samples as they are stored, and their targets. Equal splits give equal bytes.

    The file replaces `path` in one step. A few samples at a time are in memory.

    Args:
        as_bytes: targets that are stored as uint8, see `byte_targets`.
    Returns:
        the first sample as it lies in the file, [1, ...].
    Raises:
        InputError: a sample can't be read, or a label is no class.
    """
    sample = split.samples([0])
    sample = Samples(
        sample.inputs, {n: t.to(torch.uint8) if n in as_bytes else t for n, t in sample.targets.items()}
    )
    columns = [
        (read, name, tensor)
        for read, column in ((split.inputs, sample.inputs), (split.targets, sample.targets))
        for name, tensor in column.items()
    ]
    # Each is read from the first sample to the last, and images take longer than their labels.
    plan = [Piece(name, bytes_of({name: tensor})) for _, name, tensor in columns]
    with reporter.progress(f"packing to {path.name}", plan) as progress:
        tensors = {
            name: TensorStream(
                (len(split), *tensor.shape[1:]),
                tensor.dtype,
                _pieces(split, read, name, tensor, progress, reporter),
            )
            for read, name, tensor in columns
        }
        write_tensor_streams(path, tensors)
    return sample


def _pieces(
    split: Split,
    read: Callable[[Tensor], dict[str, Tensor]],
    name: str,
    sample: Tensor,
    progress: Progress,
    reporter: Reporter,
) -> Iterator[Tensor]:
    """One column of the split in the sample's dtype, a few samples at a time."""
    with reporter.progress(name, total=len(split)) as bar:
        for first, last in chunks(len(split), sample.numel() * sample.element_size()):
            values = read(torch.arange(first, last))[name]
            stored = values.to(sample.dtype)
            if not torch.equal(stored, values):
                raise InputError(
                    f"the {name} of samples {first} to {last - 1} have labels that are no classes; repair "
                    "them"
                )
            yield stored
            bar.advance(last - first)
    progress.advance()


def _describe(
    dataset: Dataset, name: SplitName, samples: int, stored: Samples, path: Path, config: DataConfig
) -> PackedDataset:
    augmentation = dataset.augmentation
    return PackedDataset(
        file=file_record(path),
        samples=samples,
        split=name,
        inputs={
            name: StoredInput.model_validate(
                {**_stored(tensor), "preprocessing": dataset.inputs[name].preprocessing}
            )
            for name, tensor in stored.inputs.items()
        },
        targets={name: StoredTensor.model_validate(_stored(t)) for name, t in stored.targets.items()},
        task=dataset.task or usual_task(dataset.targets, dataset.classes),
        classes=dataset.classes,
        outputs=dataset.outputs,
        ignored=dataset.ignored,
        augmentation=UsualAugmentation(flip=augmentation.flip, crop_padding=augmentation.crop_padding),
        config=config.model_dump(mode="json"),
    )


def _stored(tensor: Tensor) -> dict[str, Any]:
    return {"shape": list(tensor.shape[1:]), "dtype": dtype_text(tensor.dtype)}


def usual_task(targets: Mapping[str, TensorSpec], classes: list[str] | None) -> str | None:
    """What targets of this form are usually for; None for several of them, which only their owner knows."""
    if len(targets) != 1:
        return None
    target = next(iter(targets.values()))
    if target.dtype != "int64":
        return "regression" if classes is None else "multi-label"
    return TASK_OF_LABELS.get(len(target.shape))
