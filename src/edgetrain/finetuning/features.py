"""What a backbone says about samples, kept from epoch to epoch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..artifacts.contract import BACKBONE, Argument, Contract
from ..artifacts.specs import Preprocessing
from ..data.base import Indices, Split, as_rows
from ..runtimes.base import GraphSession


def feature_bytes(contract: Contract, samples: int) -> int:
    """What the features of so many samples take; 0 without a backbone."""
    if BACKBONE not in contract.methods:
        return 0
    return samples * sum(_sample_bytes(argument) for argument in contract.methods[BACKBONE].outputs)


class FeatureSplit(Split):
    """A split whose inputs are the features of another's.

    Those of a sample are computed when it is asked for first; a backbone changes as little as they do.

    Args:
        session: computes them.
        preprocessing: of the other's inputs, by name.
    """

    def __init__(
        self, split: Split, preprocessing: Mapping[str, Preprocessing], session: GraphSession
    ) -> None:
        self._split = split
        self._preprocessing = preprocessing
        self._session = session
        self._known = torch.zeros(len(split), dtype=torch.bool)
        self._features = {
            argument.name: torch.empty(len(split), *argument.sample_shape, dtype=_dtype(argument))
            for argument in session.contract.methods[BACKBONE].outputs
        }

    def __len__(self) -> int:
        return len(self._split)

    def inputs(self, indices: Indices) -> dict[str, Tensor]:
        rows = as_rows(indices)
        missing, size = rows[~self._known[rows]], self._session.contract.max_batch_size
        for first in range(0, len(missing), size):
            part = missing[first : first + size]
            stored = self._split.inputs(part)
            prepared = {name: self._preprocessing[name].apply(tensor) for name, tensor in stored.items()}
            for name, found in self._session.features(prepared).items():
                self._features[name][part] = found
            self._known[part] = True
        return {name: tensor[rows] for name, tensor in self._features.items()}

    def targets(self, indices: Indices) -> dict[str, Tensor]:
        return self._split.targets(indices)

    @property
    def labels(self) -> Tensor | None:
        return self._split.labels


def _dtype(argument: Argument) -> torch.dtype:
    found = getattr(torch, argument.dtype)
    assert isinstance(found, torch.dtype)
    return found


def _sample_bytes(argument: Argument) -> int:
    return int(torch.Size(argument.sample_shape).numel()) * _dtype(argument).itemsize
