"""Pruned weights that stay zero while the others are trained, in every runtime.

The mask is the weight itself: `w * (w != 0)` is w, and its gradient is zero where w is. So no optimizer that
starts from a zero weight and a zero state (SGD, with momentum and weight decay, Adam, AdamW) ever moves it,
nothing has to be stored beside the weight, and the program that is exported keeps the rule by itself.
"""

from __future__ import annotations

from torch import Tensor, nn

from ...artifacts.transforms import KeptZeros
from ...errors import InputError


def only_nonzero(weight: Tensor) -> Tensor:
    """The same values; zeros get no gradient."""
    return weight * (weight != 0)


class SparseLinear(nn.Linear):
    """A linear layer whose zero weights stay zero."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, only_nonzero(self.weight), self.bias)


class SparseConv1d(nn.Conv1d):
    """A convolution whose zero weights stay zero."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(x, only_nonzero(weight), bias)


class SparseConv2d(nn.Conv2d):
    """A convolution whose zero weights stay zero."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(x, only_nonzero(weight), bias)


_SPARSE: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: SparseLinear,
    nn.Conv1d: SparseConv1d,
    nn.Conv2d: SparseConv2d,
}
PRUNABLE = tuple(_SPARSE)


def keep_zeros(model: nn.Module, record: KeptZeros) -> nn.Module:
    """Makes a layer keep its zeros.

    Raises:
        InputError: it is no layer of `PRUNABLE`.
    """
    layer = model.get_submodule(record.module)
    if type(layer) in _SPARSE.values():
        return model
    sparse = _SPARSE.get(type(layer))
    if sparse is None:
        raise InputError(f"{record.module} is a {type(layer).__name__}, whose zeros can't be kept")
    # The same object with another forward: whoever holds the layer, or its parameters, goes on with it.
    layer.__class__ = sparse
    return model
