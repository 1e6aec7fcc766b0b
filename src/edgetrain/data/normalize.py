"""Mean and standard deviation of training images."""

from __future__ import annotations

import torch
from torch import Tensor

from ..artifacts.specs import Preprocessing
from ..config.data import DataConfig
from ..errors import ConfigError, UsageError
from .base import Source, Split
from .prepared import chunks

BYTE_SCALE = 1 / 255
_MOST_MEASURED = 2000


def choose_preprocessing(config: DataConfig, source: Source, unshifted: Split) -> Preprocessing:
    """How stored samples become the model's inputs.

    Args:
        unshifted: the whole training split in its final size and channels, without shifts: a device's
            data must be seen by the same numbers the model was trained with.
    Raises:
        ConfigError: mean and std don't fit the samples.
    """
    sample = unshifted.inputs([0])[0]
    scale = BYTE_SCALE if sample.dtype == torch.uint8 else 1.0
    if config.mean is not None and config.std is not None:
        _check_override(config.mean, sample)
        return Preprocessing(scale=scale, mean=tuple(config.mean), std=tuple(config.std))
    if source.preprocessing is not None and len(source.preprocessing.mean) in (1, sample.shape[0]):
        return source.preprocessing
    if source.usual is not None:
        mean, std = source.usual[sample.shape[0]]
        return Preprocessing(scale=scale, mean=mean, std=std)
    if source.measure:
        mean, std = measure(unshifted)
        return Preprocessing(scale=scale, mean=mean, std=std)
    return Preprocessing(scale=scale)


def check_preprocessing(config: DataConfig, program: Preprocessing) -> None:
    """Refuses mean and std that would have no effect. Equal ones may come from a recipe shared with training.

    Args:
        program: what the model was trained with.
    Raises:
        UsageError: mean and std are others.
    """
    if config.mean is None or config.std is None:
        return
    if (tuple(config.mean), tuple(config.std)) != (program.mean, program.std):
        raise UsageError(
            "data.mean, data.std: the program brings its own preprocessing "
            f"(mean {list(program.mean)}, std {list(program.std)}); leave them out"
        )


def measure(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, in the 0..1 scale, of up to 2,000 evenly spaced images.

    A channel that never changes gets the standard deviation 1.
    """
    count = min(len(split), _MOST_MEASURED)
    rows = torch.arange(count) * len(split) // count
    sample = split.inputs(rows[:1])
    total = torch.zeros(sample.shape[1], dtype=torch.float64)
    squares = torch.zeros_like(total)
    for first, last in chunks(count, sample.numel() * 8):
        x = split.inputs(rows[first:last]).to(torch.float64) * BYTE_SCALE
        total += x.sum((0, 2, 3))
        squares += x.square().sum((0, 2, 3))
    pixels = count * sample[0, 0].numel()
    mean = total / pixels
    std = (squares / pixels - mean.square()).clamp(min=0).sqrt()
    std[std < 1e-4] = 1.0
    return _rounded(mean), _rounded(std)


def _rounded(values: Tensor) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)


def _check_override(mean: list[float], sample: Tensor) -> None:
    if sample.dtype == torch.int64:
        raise ConfigError(["data.mean, data.std: the samples are integer ids, which can't be normalised"])
    channels = sample.shape[0]
    if len(mean) not in (1, channels):
        raise ConfigError(
            [f"data.mean, data.std: {len(mean)} values for {channels} channels; give 1 or {channels}"]
        )
