"""Batch norm where the channels come last, as they do for layer norm."""

from __future__ import annotations

from torch import Tensor, nn


class BatchNormLast(nn.BatchNorm1d):
    """Batch norm over all dimensions but the last; [B, ..., C] → [B, ..., C]."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.flatten(0, -2)).reshape(input.shape)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions is one of values per channel."""
