"""Mean and standard deviation of training images."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..artifacts.specs import InputSpec, Preprocessing
from ..config.data import DataConfig
from ..errors import ConfigError, UsageError
from ..reporting import Reporter
from .base import Source, Split, is_image
from .prepared import chunks

BYTE_SCALE = 1 / 255
_MOST_MEASURED = 2000
# No byte that is normalised by the mean and standard deviation of images is larger.
_MOST_SCALED = 8.0


def choose_preprocessing(config: DataConfig, source: Source, unshifted: Split) -> dict[str, Preprocessing]:
    """How stored samples become the model's inputs, by name. A mean and std that are given are for all
    images, or for all numbers where there are no images.

    Args:
        unshifted: the whole training split in its final size and channels, without shifts: a device's
            data must be seen by the same numbers the model was trained with.
    Raises:
        ConfigError: mean and std don't fit the samples.
    """
    samples = {name: values[0] for name, values in unshifted.inputs([0]).items()}
    given: dict[str, Preprocessing] = {}
    if config.mean is not None and config.std is not None:
        given = _given(samples, tuple(config.mean), tuple(config.std))
    return {
        name: given[name] if name in given else _usual(source, name, sample, unshifted)
        for name, sample in samples.items()
    }


def _given(
    samples: Mapping[str, Tensor], mean: tuple[float, ...], std: tuple[float, ...]
) -> dict[str, Preprocessing]:
    numbers = {name: sample for name, sample in samples.items() if sample.dtype != torch.int64}
    if not numbers:
        raise ConfigError(["data.mean, data.std: the samples are integer ids, which can't be normalised"])
    images = {name: sample for name, sample in numbers.items() if is_image(sample)}
    for sample in (images or numbers).values():
        channels = sample.shape[0]
        if len(mean) not in (1, channels):
            raise ConfigError(
                [f"data.mean, data.std: {len(mean)} values for {channels} channels; give 1 or {channels}"]
            )
    return {
        name: Preprocessing(scale=_scale(sample), mean=mean, std=std)
        for name, sample in (images or numbers).items()
    }


def _usual(source: Source, name: str, sample: Tensor, unshifted: Split) -> Preprocessing:
    known = (source.preprocessing or {}).get(name)
    if known is not None and len(known.mean) in (1, sample.shape[0]):
        return known
    scale = _scale(sample)
    if is_image(sample) and source.usual is not None:
        mean, std = source.usual[sample.shape[0]]
        return Preprocessing(scale=scale, mean=mean, std=std)
    if is_image(sample) and source.measure:
        mean, std = measure(unshifted, name)
        return Preprocessing(scale=scale, mean=mean, std=std)
    return Preprocessing(scale=scale)


def _scale(sample: Tensor) -> float:
    return BYTE_SCALE if sample.dtype == torch.uint8 else 1.0


def check_preprocessing(config: DataConfig, program: Mapping[str, InputSpec]) -> None:
    """Refuses mean and std that would have no effect. Equal ones may come from a recipe shared with training.

    Args:
        program: inputs of the model, with what it was trained with.
    Raises:
        UsageError: mean and std are others.
    """
    if config.mean is None or config.std is None:
        return
    used = [(p.mean, p.std) for p in (spec.preprocessing for spec in program.values())]
    if (tuple(config.mean), tuple(config.std)) not in used:
        numbers = "; ".join(f"mean {list(mean)}, std {list(std)}" for mean, std in used)
        raise UsageError(
            f"data.mean, data.std: the program brings its own preprocessing ({numbers}); leave them out"
        )


def warn_of_small_numbers(
    stored: Mapping[str, Tensor], inputs: Mapping[str, InputSpec], reporter: Reporter
) -> None:
    """Warns where samples look as if they had been scaled already, which happens again.

    Args:
        stored: some samples by name, as they are stored.
        inputs: of the model they are for.
    """
    for name, spec in inputs.items():
        values = stored.get(name)
        if values is None or not values.is_floating_point() or tuple(values.shape[1:]) != spec.shape:
            continue
        if spec.preprocessing.scale != BYTE_SCALE:
            continue
        largest = float(values.abs().max())
        if 0 < largest <= _MOST_SCALED:
            called = f" {name}" if len(inputs) > 1 else ""
            reporter.warn(
                f"the samples{called} are numbers up to {largest:.3g}, which the model takes for bytes (0 to "
                "255) and scales by 1/255; store bytes if these are scaled already"
            )


def measure(split: Split, name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, in the 0..1 scale, of up to 2,000 evenly spaced images.

    A channel that never changes gets the standard deviation 1.

    Args:
        name: the input that is measured.
    """
    count = min(len(split), _MOST_MEASURED)
    rows = torch.arange(count) * len(split) // count
    sample = split.inputs(rows[:1])[name]
    total = torch.zeros(sample.shape[1], dtype=torch.float64)
    squares = torch.zeros_like(total)
    for first, last in chunks(count, sample.numel() * 8):
        x = split.inputs(rows[first:last])[name].to(torch.float64) * BYTE_SCALE
        total += x.sum((0, 2, 3))
        squares += x.square().sum((0, 2, 3))
    pixels = count * sample[0, 0].numel()
    mean = total / pixels
    std = (squares / pixels - mean.square()).clamp(min=0).sqrt()
    std[std < 1e-4] = 1.0
    return _rounded(mean), _rounded(std)


def _rounded(values: Tensor) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)
