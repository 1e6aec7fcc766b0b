"""A guess of the memory that training some parts of a model takes, good enough to search with.

Layers are taken for a chain. Forward keeps the input of each layer whose weight is trained, and behind the
first trained layer a byte per output for what its activation function needs; backward holds two gradients at
a time and that of one weight. What this leaves out depends mostly on how far backward has to reach, and is
learned, for the first trained layer of a set, from sets that were really planned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...models.calling import call_model
from ...upstream.values import leaves
from ..updates.selection import is_bias
from .options import Layer, Option

Floats = NDArray[np.float64]
# A set: the number of an option for each layer. Several sets: [P, layers].
Sets = NDArray[np.int64]

_FLOAT = 4


@dataclass(frozen=True)
class Sizes:
    """Bytes of the tensors that go into and come out of a layer, at the batch that is planned for."""

    input: float
    output: float


def sizes_of(
    model: nn.Module, inputs: Mapping[str, Tensor], layers: Sequence[Layer], batch: int
) -> list[Sizes]:
    """Measures a forward pass; zero for layers that aren't called as modules.

    Args:
        inputs: of an example batch, by name.
        batch: number of samples that is planned for.
    """
    scale = batch / len(next(iter(inputs.values())))
    found: dict[str, Sizes] = {}
    handles = []
    for layer in layers:

        def note(_: nn.Module, given: Any, result: Any, name: str = layer.name) -> None:
            found[name] = Sizes(scale * _bytes(given), scale * _bytes(result))

        handles.append(model.get_submodule(layer.name).register_forward_hook(note))
    try:
        model.eval()
        with torch.no_grad():
            call_model(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return [found.get(layer.name, Sizes(0.0, 0.0)) for layer in layers]


def _bytes(values: Any) -> int:
    return sum(value.nbytes for value in leaves(values) if isinstance(value, Tensor))


@dataclass
class MemoryModel:
    """Predicts bytes of activations, weights that change and optimizer state.

    Attributes:
        input, output: of each layer [layers].
        changing: weights and state [layers, options].
        saved: inputs kept for weight gradients [layers, options].
        gradient: of the weight [layers, options].
        split: whether the layer is made two [layers, options].
        trains: anything of the layer [layers, options].
        missed: what the chain left out of planned sets, by their first trained layer.
    """

    input: Floats
    output: Floats
    changing: Floats
    saved: Floats
    gradient: Floats
    split: NDArray[np.bool_]
    trains: NDArray[np.bool_]
    missed: dict[int, float] = field(default_factory=dict)

    def first(self, sets: Sets) -> NDArray[np.int64]:
        """The first trained layer of each set [P]; the number of layers where none is."""
        trained = self._of(self.trains, sets)
        return np.where(trained.any(1), trained.argmax(1), trained.shape[1])

    def predict(self, sets: Sets) -> Floats:
        """Bytes of each set [P]."""
        return self._chain(sets) + self._missed(self.first(sets))

    def learn(self, options: Sequence[int], planned: int) -> None:
        """Takes note of what the real planner found for a set."""
        one = np.array([options])
        self.missed[int(self.first(one)[0])] = float(planned - self._chain(one)[0])

    def _missed(self, first: NDArray[np.int64]) -> Floats:
        if not self.missed:
            return np.zeros(len(first))
        known = sorted(self.missed)
        return np.asarray(np.interp(first, known, [self.missed[layer] for layer in known]))

    def _chain(self, sets: Sets) -> Floats:
        reached = np.arange(len(self.input)) >= self.first(sets)[:, None]
        beyond = np.arange(len(self.input)) > self.first(sets)[:, None]
        saved = self._of(self.saved, sets) + reached * self.output / _FLOAT
        kept = np.cumsum(saved, axis=1)
        forward = kept - saved + self.input + self.output * (1 + self._of(self.split, sets))
        backward = kept + self.output + beyond * self.input + self._of(self.gradient, sets)
        peak = np.maximum(forward, reached * backward).max(1)
        return np.asarray(peak + self._of(self.changing, sets).sum(1))

    def _of(self, table: NDArray[Any], sets: Sets) -> NDArray[Any]:
        """The entries of a table [layers, options] that sets choose [P, layers]."""
        return np.asarray(table[np.arange(table.shape[0]), sets])


def memory_model(
    layers: Sequence[Layer],
    sizes: Sequence[Sizes],
    parameters: Mapping[str, Tensor],
    *,
    copies: int,
    gradients_stay: bool,
    products_written: bool,
) -> MemoryModel:
    """The model of some layers, before anything is planned.

    Args:
        parameters: by name.
        copies: how many tensors of its size a trained one takes: itself, and the optimizer's state.
        gradients_stay: they live together, until an optimizer outside takes them.
        products_written: gradients of matrices are written where they go, and never exist.
    """

    def table(entry: Any) -> NDArray[Any]:
        most = max(len(layer.options) for layer in layers)
        rows = []
        for layer, size in zip(layers, sizes, strict=True):
            row = [entry(option, size) for option in layer.options]
            rows.append(row + row[:1] * (most - len(row)))  # what a layer can't do is to freeze it
        return np.array(rows)

    def trained(option: Option) -> float:
        return sum(parameters[p.parameter].nbytes * p.share for p in option.pieces)

    def of_weight(option: Option, least_dim: int = 0) -> float:
        """Of what has a gradient made of activations, a weight or a scale."""
        return sum(
            parameters[p.parameter].nbytes * p.share
            for p in option.pieces
            if not is_bias(p.parameter) and parameters[p.parameter].dim() >= least_dim
        )

    def gradient(option: Option, _: Sizes) -> float:
        return 0.0 if gradients_stay else of_weight(option, 3 if products_written else 0)

    return MemoryModel(
        input=np.array([size.input for size in sizes]),
        output=np.array([size.output for size in sizes]),
        changing=table(lambda option, _: (copies + gradients_stay) * trained(option)).astype(np.float64),
        saved=table(lambda option, size: size.input * (of_weight(option) > 0)).astype(np.float64),
        gradient=table(gradient).astype(np.float64),
        split=table(lambda option, _: option.splits).astype(bool),
        trains=table(lambda option, _: bool(option.pieces)).astype(bool),
    )
