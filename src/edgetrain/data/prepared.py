"""A split seen through a choice of samples and a row of transforms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..reporting import Reporter
from .base import Indices, Samples, Split, TensorSplit, as_rows

Change = Callable[[Tensor, Tensor], Tensor]
"""(values [B, ...], int64 positions [B] of their samples in the source split) → values [B, ...]."""

MEMORY_LIMIT = 2 * 1024**3
_CHUNK_BYTES = 16 * 1024**2


@dataclass(frozen=True)
class Transform:
    """What is done to samples: changes of inputs and of targets, by name."""

    inputs: dict[str, Change]
    targets: dict[str, Change] = field(default_factory=dict)


class PreparedSplit(Split):
    """Some of a split's samples, transformed whenever they are asked for.

    Args:
        source: where the samples come from.
        rows: int64 [N], which of them, in which order.
        transforms: applied one after the other; each sees positions in `source`, so that what it does to a
            sample doesn't depend on which others were chosen.
    """

    def __init__(self, source: Split, rows: Tensor, transforms: list[Transform]) -> None:
        self._source = source
        self._rows = rows
        self._transforms = transforms

    def __len__(self) -> int:
        return len(self._rows)

    def inputs(self, indices: Indices) -> dict[str, Tensor]:
        rows = self._rows[as_rows(indices)]
        return _changed(self._source.inputs(rows), [t.inputs for t in self._transforms], rows)

    def targets(self, indices: Indices) -> dict[str, Tensor]:
        rows = self._rows[as_rows(indices)]
        return _changed(self._source.targets(rows), [t.targets for t in self._transforms], rows)

    @property
    def labels(self) -> Tensor | None:
        labels = self._source.labels
        return None if labels is None else labels[self._rows]


def _changed(tensors: dict[str, Tensor], changes: list[dict[str, Change]], rows: Tensor) -> dict[str, Tensor]:
    for by_name in changes:
        tensors = tensors | {name: change(tensors[name], rows) for name, change in by_name.items()}
    return tensors


def hold_in_memory(split: Split, reporter: Reporter, description: str) -> Split:
    """Computes all samples once where they fit in 2 GiB; otherwise they stay computed per batch."""
    if isinstance(split, TensorSplit):
        return split
    sample = split.samples([0])
    sample_bytes = bytes_of(sample.inputs) + bytes_of(sample.targets)
    if len(split) * sample_bytes > MEMORY_LIMIT:
        reporter.detail(f"{description}: {len(split)} samples exceed 2 GiB and are read batch by batch")
        return split
    held = Samples(*(_room_for(len(split), tensors) for tensors in (sample.inputs, sample.targets)))
    with reporter.progress(description, total=len(split)) as progress:
        for first, last in chunks(len(split), sample_bytes):
            piece = split.samples(torch.arange(first, last))
            for name, tensor in piece.inputs.items():
                held.inputs[name][first:last] = tensor
            for name, tensor in piece.targets.items():
                held.targets[name][first:last] = tensor
            progress.advance(last - first)
    return TensorSplit(held.inputs, held.targets)


def _room_for(count: int, sample: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Uninitialised tensors for `count` samples like the one given, [1, ...]."""
    return {name: torch.empty((count, *t.shape[1:]), dtype=t.dtype) for name, t in sample.items()}


def bytes_of(tensors: Mapping[str, Tensor]) -> int:
    """Size of all of them."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def chunks(count: int, sample_bytes: int) -> Iterator[tuple[int, int]]:
    """Cuts `count` samples into (first, end) pieces of a size that is comfortable to compute at once."""
    size = max(1, min(1024, _CHUNK_BYTES // max(1, sample_bytes)))
    for first in range(0, count, size):
        yield first, min(first + size, count)
