"""Pruned weights that stay zero while the others are trained, in every runtime.

The mask is the weight itself: `w * (w != 0)` is w, and its gradient is zero where w is. So no optimizer that
starts from a zero weight and a zero state (SGD, with momentum and weight decay, Adam, AdamW) ever moves it,
nothing has to be stored beside the weight, and the program that is exported keeps the rule by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from ...artifacts.transforms import KeptZeros
from ...errors import InputError
from ...upstream.layers import convolve


def only_nonzero(weight: Tensor) -> Tensor:
    """The same values; zeros get no gradient."""
    return weight * (weight != 0)


class SparseLinear(nn.Linear):
    """A linear layer whose zero weights stay zero."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, only_nonzero(self.weight), self.bias)


class SparseConv1d(nn.Conv1d):
    """A convolution whose zero weights stay zero."""

    def forward(self, x: Tensor) -> Tensor:
        return convolve(self, x, only_nonzero(self.weight))


class SparseConv2d(nn.Conv2d):
    """A convolution whose zero weights stay zero."""

    def forward(self, x: Tensor) -> Tensor:
        return convolve(self, x, only_nonzero(self.weight))


_SPARSE: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: SparseLinear,
    nn.Conv1d: SparseConv1d,
    nn.Conv2d: SparseConv2d,
}
#: Layers whose zeros can be kept; subclasses may compute something else.
PRUNABLE = tuple(_SPARSE)


def is_sparse(layer: nn.Module) -> bool:
    """Whether a layer keeps its zeros."""
    return type(layer) in _SPARSE.values()


def keep_zeros(model: nn.Module, record: KeptZeros) -> nn.Module:
    """Makes a layer keep its zeros.

    Raises:
        InputError: it is no layer of `PRUNABLE`.
    """
    layer = model.get_submodule(record.module)
    if is_sparse(layer):
        return model
    sparse = _SPARSE.get(type(layer))
    if sparse is None:
        raise InputError(f"{record.module} is a {type(layer).__name__}, whose zeros can't be kept")
    # The same object with another forward: whoever holds the layer, or its parameters, goes on with it.
    layer.__class__ = sparse
    return model


@contextmanager
def without_masks(model: nn.Module) -> Iterator[list[str]]:
    """Has pruned layers compute with their weights as they are, which gives the same: where the graph of a
    forward is wanted as others know it. Gives the names of their weights."""
    plain = {sparse: kind for kind, sparse in _SPARSE.items()}
    layers = [(name, layer) for name, layer in model.named_modules() if type(layer) in plain]
    kinds = [type(layer) for _, layer in layers]
    for _, layer in layers:
        layer.__class__ = plain[type(layer)]
    try:
        yield [f"{name}.weight" if name else "weight" for name, _ in layers]
    finally:
        for (_, layer), kind in zip(layers, kinds, strict=True):
            layer.__class__ = kind
