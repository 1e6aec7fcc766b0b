"""Batches in an order that can be repeated: by a resumed run, and by several processes together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..artifacts.specs import Preprocessing
from .augment import Augmentation, AugmentationDraw, draw_augmentation, move_images
from .base import Samples, Split
from .seeds import generator_for


@dataclass(frozen=True)
class Batch:
    """One step's samples.

    Attributes:
        inputs: by name, preprocessed and contiguous, float32 [B, *sample shape] (int64 where they are ids).
        targets: by name: int64 or float32 [B, ...].
        weight: factor for this rank's mean loss, so that the average of the weighted means over all ranks
            is the mean over all samples; 0.0 where this rank only takes part for company.
        index: position of the batch in its epoch.
    """

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]
    weight: float = 1.0
    index: int = 0

    def __len__(self) -> int:
        """How many samples it has."""
        return len(next(iter(self.inputs.values())))


class BatchLoader:
    """Cuts a split into batches.

    The order is a function of (seed, epoch), the augmentation of a batch one of (seed, epoch, batch): a
    run that resumes at batch k sees bitwise the same data, and PyTorch's global generator is never used.

    With `world_size` processes, `batch_size` is that of each. All draw the same order and augmentation for
    a global batch of `batch_size * world_size` samples and take their own part of it, so together they see
    exactly what a single process with the larger batch sees.

    Args:
        preprocessing: of every input, by name.
        batch_size: samples per batch and process.
        shuffle: visit the samples in another random order each epoch.
        augmentation: applied to every batch; images [C, H, W] of a sample and masks [H, W] move alike.
        rank: number of this process, from 0.
    """

    def __init__(
        self,
        split: Split,
        preprocessing: Mapping[str, Preprocessing],
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        augmentation: Augmentation | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size < 1 or not 0 <= rank < world_size:
            raise ValueError(f"batch size {batch_size}, rank {rank} of {world_size} processes")
        self._split = split
        self._preprocessing = preprocessing
        self.batch_size = batch_size
        self._shuffle = shuffle
        self._seed = seed
        self._augmentation = augmentation or Augmentation()
        self._rank = rank
        self._world_size = world_size

    def __len__(self) -> int:
        """Number of (global) batches in an epoch; the last may be smaller than the others."""
        return -(-len(self._split) // (self.batch_size * self._world_size))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch.

        Args:
            epoch: number of the epoch.
            start: first batch wanted; those before it are skipped without being computed.
        """
        order = self._order(epoch)
        for index in range(start, len(self)):
            size = self.batch_size * self._world_size
            yield self._batch(order[index * size : (index + 1) * size], epoch, index)

    def _order(self, epoch: int) -> Tensor:
        if not self._shuffle:
            return torch.arange(len(self._split))
        return torch.randperm(len(self._split), generator=generator_for(self._seed, "order", epoch))

    def _batch(self, global_rows: Tensor, epoch: int, index: int) -> Batch:
        first, last = part_of_rank(len(global_rows), self._rank, self._world_size)
        weight = (last - first) * self._world_size / len(global_rows)
        if first == last:
            first, last = 0, 1
        rows = global_rows[first:last]
        samples = self._split.samples(rows)
        if self._augmentation:
            generator = generator_for(self._seed, "augment", epoch, index)
            draw = draw_augmentation(self._augmentation, len(global_rows), generator)
            samples = _augment(samples, self._augmentation, draw.part(first, last))
        inputs = {
            name: self._preprocessing[name].apply(stored).contiguous()
            for name, stored in samples.inputs.items()
        }
        return Batch(inputs, samples.targets, weight, index)


def _augment(samples: Samples, augmentation: Augmentation, draw: AugmentationDraw) -> Samples:
    """Moves all images and masks of a sample alike."""
    padding = augmentation.crop_padding
    images = {name: move_images(samples.inputs[name], padding, draw) for name in augmentation.images}
    masks = {
        name: move_images(samples.targets[name], padding, draw, fill)
        for name, fill in augmentation.masks.items()
    }
    return Samples({**samples.inputs, **images}, {**samples.targets, **masks})


def part_of_rank(count: int, rank: int, world_size: int) -> tuple[int, int]:
    """First and end position of a rank's contiguous part of `count` samples; sizes differ by at most 1."""
    size, larger = divmod(count, world_size)
    first = rank * size + min(rank, larger)
    return first, first + size + (rank < larger)
