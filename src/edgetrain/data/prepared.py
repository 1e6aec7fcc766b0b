"""A split seen through a choice of samples and a row of transforms."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..reporting import Reporter
from .base import Indices, Split, TensorSplit, as_rows

Transform = Callable[[Tensor, Tensor], Tensor]
"""(samples [B, ...], their int64 positions [B] in the source split) → samples [B, ...]."""

MEMORY_LIMIT = 2 * 1024**3
_CHUNK_BYTES = 16 * 1024**2


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
        self.targets = source.targets[rows]

    def inputs(self, indices: Indices) -> Tensor:
        rows = self._rows[as_rows(indices)]
        samples = self._source.inputs(rows)
        for transform in self._transforms:
            samples = transform(samples, rows)
        return samples


def hold_in_memory(split: Split, reporter: Reporter, description: str) -> Split:
    """Computes all samples once where they fit in 2 GiB; otherwise they stay computed per batch."""
    if isinstance(split, TensorSplit):
        return split
    sample = split.inputs([0])
    sample_bytes = sample.numel() * sample.element_size()
    if len(split) * sample_bytes > MEMORY_LIMIT:
        reporter.detail(f"{description}: {len(split)} samples exceed 2 GiB and are read batch by batch")
        return split
    inputs = torch.empty((len(split), *sample.shape[1:]), dtype=sample.dtype)
    with reporter.progress(description, total=len(split)) as progress:
        for first, last in chunks(len(split), sample_bytes):
            inputs[first:last] = split.inputs(torch.arange(first, last))
            progress.advance(last - first)
    return TensorSplit(inputs, split.targets)


def chunks(count: int, sample_bytes: int) -> Iterator[tuple[int, int]]:
    """Cuts `count` samples into (first, end) pieces of a size that is comfortable to compute at once."""
    size = max(1, min(1024, _CHUNK_BYTES // max(1, sample_bytes)))
    for first in range(0, count, size):
        yield first, min(first + size, count)
