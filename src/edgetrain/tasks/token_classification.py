"""A class for every token."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ..artifacts.contract import Metric
from ..config.names import IGNORED_TOKEN
from .base import COUNT, LOSS
from .dense import DenseTask


class TokenClassification(DenseTask):
    """Outputs float32 [B, T, K], targets int64 [B, T]."""

    name = "token-classification"
    class_dim, output_dims = -1, 3
    usual_ignored = IGNORED_TOKEN
    prediction = "classes"
    layout = "one label per token, [N, T]"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(name="token_accuracy", top="correct", bottom=COUNT, better="higher", is_share=True),
    )
    best: ClassVar[tuple[str, ...]] = ("token_accuracy", LOSS.name)

    def _sums(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"correct": self._right(output, target).sum()}
