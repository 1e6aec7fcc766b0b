"""What a data set is to the rest of edgetrain, and what a reader of one hands over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..artifacts.specs import Preprocessing, TensorSpec
from .augment import Augmentation

Indices = Sequence[int] | Tensor


class Split(ABC):
    """Samples with their targets.

    Attributes:
        targets: int64 [N] for classes, float32 [N, ...] for regression and multi-label.
    """

    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    @abstractmethod
    def inputs(self, indices: Indices) -> Tensor:
        """Samples as they are stored: neither normalised nor augmented.

        Args:
            indices: B positions in this split.
        Returns:
            uint8, float32 or (integer ids) int64 tensor [B, *sample shape].
        """


class TensorSplit(Split):
    """A split held in memory.

    Args:
        inputs: [N, *sample shape], uint8, float32 or int64.
        targets: int64 [N] or float32 [N, ...].
    """

    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        if len(inputs) != len(targets):
            raise ValueError(f"{len(inputs)} inputs but {len(targets)} targets")
        self._inputs = inputs
        self.targets = targets

    def inputs(self, indices: Indices) -> Tensor:
        return self._inputs[as_rows(indices)]


@dataclass(frozen=True)
class Source:
    """A data set as its reader found it, before subsets, shifts and normalisation are applied.

    Attributes:
        classes: names by label; None for regression.
        usual: (mean, std) per channel in the 0..1 scale, by number of channels, where they are known;
            otherwise see `measure`.
        measure: whether mean and std are measured on the training images.
        flips: whether mirroring a training image is usual for this data.
        crops: whether moving a training image by some pixels is usual for this data.
        preprocessing: known beforehand in full; it goes before `usual` and `measure`.
        augmentation: known beforehand in full; it goes before `flips` and `crops`.
    """

    train: Split
    test: Split
    classes: list[str] | None
    usual: dict[int, tuple[tuple[float, ...], tuple[float, ...]]] | None = None
    measure: bool = False
    flips: bool = False
    crops: bool = False
    preprocessing: Preprocessing | None = None
    augmentation: Augmentation | None = None


@dataclass(frozen=True)
class Dataset:
    """A data set ready for use.

    Attributes:
        input: shape of a sample, without the batch dimension, and its dtype once preprocessed.
        preprocessing: from stored samples to the model's inputs.
        classes: names by label; None for regression.
        augmentation: what training does to its images.
    """

    name: str
    train: Split
    test: Split
    input: TensorSpec
    preprocessing: Preprocessing
    classes: list[str] | None
    augmentation: Augmentation


def as_rows(indices: Indices) -> Tensor:
    """Positions as an int64 tensor [B]."""
    return torch.as_tensor(indices, dtype=torch.int64)


def is_image(sample: Tensor) -> bool:
    """Whether one sample, without batch dimension, is an image: uint8 [1 or 3, H, W]."""
    return sample.dtype == torch.uint8 and sample.dim() == 3 and sample.shape[0] in (1, 3)


def has_labels(split: Split) -> bool:
    """Whether every sample has exactly one class."""
    return split.targets.dtype == torch.int64


def shape_text(shape: Sequence[int]) -> str:
    """`3x32x32` for (3, 32, 32)."""
    return "x".join(map(str, shape)) or "scalar"
