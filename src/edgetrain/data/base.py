"""What a data set is to the rest of edgetrain, and what a reader of one hands over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..artifacts.specs import INPUTS, TARGETS, InputSpec, Preprocessing, TensorSpec
from .augment import Augmentation

Indices = Sequence[int] | Tensor


@dataclass(frozen=True)
class Samples:
    """Some samples as they are stored: neither normalised nor augmented.

    Attributes:
        inputs: by name, in the order the model takes them: uint8, float32 or (ids) int64 [B, ...].
        targets: by name: int64 or float32 [B, ...].
    """

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))


class Split(ABC):
    """Named samples."""

    @abstractmethod
    def __len__(self) -> int:
        """How many there are."""

    @abstractmethod
    def inputs(self, indices: Indices) -> dict[str, Tensor]:
        """Inputs of some samples, see `Samples.inputs`.

        Args:
            indices: B positions in this split.
        """

    @abstractmethod
    def targets(self, indices: Indices) -> dict[str, Tensor]:
        """Targets of some samples, see `Samples.targets`."""

    def samples(self, indices: Indices) -> Samples:
        """Both."""
        return Samples(self.inputs(indices), self.targets(indices))

    @property
    def labels(self) -> Tensor | None:
        """The class of every sample, int64 [N], where each has exactly one; else None."""
        return None


class TensorSplit(Split):
    """A split held in memory.

    Args:
        inputs: by name, [N, ...] each, uint8, float32 or int64.
        targets: by name, [N, ...] each, int64 or float32; or uint8, which are handed out as int64.
    """

    def __init__(self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> None:
        lengths = {name: len(tensor) for name, tensor in (*inputs.items(), *targets.items())}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"different numbers of samples: {lengths}")
        self._inputs = dict(inputs)
        self._targets = dict(targets)

    @staticmethod
    def of(inputs: Tensor, targets: Tensor) -> TensorSplit:
        """A split with one input and one target, of the usual names."""
        return TensorSplit({INPUTS: inputs}, {TARGETS: targets})

    def __len__(self) -> int:
        return len(next(iter(self._inputs.values())))

    def inputs(self, indices: Indices) -> dict[str, Tensor]:
        rows = as_rows(indices)
        return {name: t[rows] for name, t in self._inputs.items()}

    def targets(self, indices: Indices) -> dict[str, Tensor]:
        rows = as_rows(indices)
        chosen = {name: t[rows] for name, t in self._targets.items()}
        return {name: t.to(torch.int64) if t.dtype == torch.uint8 else t for name, t in chosen.items()}

    def part(self, indices: Indices) -> TensorSplit:
        """A split of some samples, in memory of its own."""
        rows = as_rows(indices)
        return TensorSplit(self.inputs(rows), {name: t[rows] for name, t in self._targets.items()})

    @property
    def labels(self) -> Tensor | None:
        return labels_of(self._targets)


@dataclass(frozen=True)
class Source:
    """A data set as its reader found it, before subsets, shifts and normalisation are applied.

    Attributes:
        classes: names by label; None where there are no classes, or none that have names.
        outputs: how many classes there are, where nothing names them.
        task: what the data is for, where it says so (see `tasks`); None where its targets tell.
        ignored: label of pixels or tokens that count for nothing, where the data has one.
        usual: (mean, std) per channel in the 0..1 scale, by number of channels, where they are known;
            otherwise see `measure`.
        measure: whether mean and std of images are measured on the training split.
        flips: whether mirroring a training image is usual for this data.
        crops: whether moving a training image by some pixels is usual for this data.
        preprocessing: of inputs by name, known beforehand in full; it goes before `usual` and `measure`.
        augmentation: known beforehand in full; it goes before `flips` and `crops`.
    """

    train: Split
    test: Split
    classes: list[str] | None
    outputs: int | None = None
    task: str | None = None
    ignored: int | None = None
    usual: dict[int, tuple[tuple[float, ...], tuple[float, ...]]] | None = None
    measure: bool = False
    flips: bool = False
    crops: bool = False
    preprocessing: dict[str, Preprocessing] | None = None
    augmentation: Augmentation | None = None


@dataclass(frozen=True)
class Dataset:
    """A data set ready for use.

    Attributes:
        inputs: of a sample once preprocessed, by name, in the order the model takes them.
        targets: of a sample, by name.
        classes: names by label; None where there are no classes, or none that have names.
        outputs: how many classes there are, where nothing names them.
        task: what the data is for, where it says so.
        ignored: label of pixels or tokens that count for nothing, where the data has one.
        augmentation: what training does to its images.
    """

    name: str
    train: Split
    test: Split
    inputs: dict[str, InputSpec]
    targets: dict[str, TensorSpec]
    classes: list[str] | None
    outputs: int | None
    task: str | None
    ignored: int | None
    augmentation: Augmentation

    @property
    def preprocessing(self) -> dict[str, Preprocessing]:
        """From stored samples to the model's inputs, by name."""
        return {name: spec.preprocessing for name, spec in self.inputs.items()}

    def ignoring(self, label: int | None) -> Dataset:
        """The same for a task that ignores this label: it is what augmentation moves into masks."""
        return replace(self, augmentation=self.augmentation.ignoring(label))


def as_rows(indices: Indices) -> Tensor:
    """Positions as an int64 tensor [B]."""
    return torch.as_tensor(indices, dtype=torch.int64)


def labels_of(targets: Mapping[str, Tensor]) -> Tensor | None:
    """The only target, where it is one class per sample: int64 [N]."""
    only = next(iter(targets.values())) if len(targets) == 1 else None
    return only if only is not None and only.dtype == torch.int64 and only.dim() == 1 else None


def is_image(sample: Tensor) -> bool:
    """Whether one input of a sample, without batch dimension, is an image: uint8 [1 or 3, H, W]."""
    return sample.dtype == torch.uint8 and sample.dim() == 3 and sample.shape[0] in (1, 3)


def images_of(samples: Samples) -> list[str]:
    """Names of the inputs that are images."""
    return [name for name, tensor in samples.inputs.items() if is_image(tensor[0])]


def masks_of(samples: Samples) -> list[str]:
    """Names of the targets that have a label for every pixel of the images: int64 [H, W] of their size."""
    sizes = {samples.inputs[name].shape[-2:] for name in images_of(samples)}
    return [
        name
        for name, tensor in samples.targets.items()
        if tensor.dtype == torch.int64 and tensor.dim() == 3 and tensor.shape[1:] in sizes
    ]


def dtype_text(dtype: torch.dtype) -> str:
    """`int64` for torch.int64."""
    return str(dtype).removeprefix("torch.")


def shape_text(shape: Sequence[int]) -> str:
    """`3x32x32` for (3, 32, 32)."""
    return "x".join(map(str, shape)) or "scalar"
