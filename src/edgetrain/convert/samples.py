"""Samples to compare source and result on, and to calibrate with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..artifacts.npz import read_npz
from ..errors import InputError
from .specs import ModelInput

RANDOM_SAMPLES = 16
MOST_SAMPLES = 256
_RANGES = {"uint8": (0, 256), "int8": (-128, 128), "bool": (0, 2)}


def random_samples(
    specs: Sequence[ModelInput], state: Mapping[str, Tensor], seed: int, count: int = RANDOM_SAMPLES
) -> list[Tensor]:
    """Normally distributed numbers, token ids that every embedding of the model has, bytes, or 0 and 1;
    [count, ...] each."""
    generator = torch.Generator().manual_seed(seed)
    # Which of the matrices are embeddings isn't known here, so that ids stay below the smallest.
    vocabulary = min((t.shape[0] for t in state.values() if t.dim() == 2), default=2)
    return [
        torch.randint(
            *_RANGES.get(spec.dtype, (0, vocabulary)), (count, *spec.shape), generator=generator
        ).to(spec.torch_dtype)
        if not spec.torch_dtype.is_floating_point
        else torch.randn(count, *spec.shape, generator=generator, dtype=spec.torch_dtype)
        for spec in specs
    ]


def read_samples(path: Path, inputs: Mapping[str, ModelInput]) -> list[Tensor]:
    """Arrays of a .npz, one for each input, samples along dimension 0; the first `MOST_SAMPLES` of them. They
    belong to inputs of their names, or else by their order in the file.

    Raises:
        InputError: the file is damaged, or its arrays don't fit.
    """
    arrays = {name: np.atleast_1d(array)[:MOST_SAMPLES] for name, array in read_npz(path)[0].items()}
    if len(arrays) != len(inputs):
        raise InputError(
            f"{path} has {len(arrays)} arrays ({', '.join(arrays)}), but the model takes {len(inputs)}"
        )
    if arrays.keys() == inputs.keys():
        arrays = {name: arrays[name] for name in inputs}
    for (name, array), spec in zip(arrays.items(), inputs.values(), strict=True):
        if list(array.shape[1:]) != list(spec.shape):
            raise InputError(
                f"{path}: {name} has samples of shape {list(array.shape[1:])}, but the model takes "
                f"{list(spec.shape)}"
            )
        if len(array) == 0 or not np.isfinite(array).all():
            raise InputError(f"{path}: {name} has no samples, or some that are not finite numbers")
    counts = {len(array) for array in arrays.values()}
    if len(counts) != 1:
        raise InputError(f"{path}: its arrays have different numbers of samples")
    return [
        torch.from_numpy(np.ascontiguousarray(array)).to(spec.torch_dtype)
        for array, spec in zip(arrays.values(), inputs.values(), strict=True)
    ]
