"""Which class was taken for which, counted over samples, pixels or tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from ..tasks import Task
from ..tasks.labels import is_valid
from ..tasks.outputs import main_output

# More classes are the words of a vocabulary, of which nobody wants to see every pair.
_MOST_CLASSES = 1000


class Confusion:
    """Counts of a task that predicts one class per sample, pixel or token.

    Attributes:
        counts: int64 [K, K], rows by label, columns by prediction; None before the first batch, and for other
            tasks.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self.counts: Tensor | None = None

    def add(self, outputs: dict[str, Tensor], targets: dict[str, Tensor]) -> None:
        """Counts a batch. Labels that count for nothing are left out."""
        dim = self._task.class_dim
        if dim is None or len(targets) != 1:
            return
        output, labels = main_output(outputs), next(iter(targets.values()))
        size = output.shape[dim]
        if size > _MOST_CLASSES:
            return
        if self.counts is None:
            self.counts = torch.zeros(size, size, dtype=torch.int64)
        kept = is_valid(labels, self._task.spec.ignore_index) > 0
        pairs = labels[kept] * size + output.argmax(dim)[kept]
        self.counts += pairs.bincount(minlength=size * size).view(size, size)
