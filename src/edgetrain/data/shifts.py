"""Turns samples into what one device sees: rotated (with their masks), inverted, noisy, blurred."""

from __future__ import annotations

import difflib
import math

import torch
from torch import Tensor
from torch.nn import functional

from ..artifacts.specs import INPUTS
from ..config.shift import Shift
from ..errors import ConfigError
from ..vision import import_torchvision
from .base import Samples, images_of, masks_of
from .prepared import Change, Transform
from .seeds import generator_for


def transform_for(shift: Shift, seed: int, split: str, sample: Samples, ignored: int) -> Transform:
    """The transform of one shift. `classes` is no transform: see `chosen_labels`.

    Args:
        seed: of the noise; sample i of `split` always gets the same.
        split: `train` or `test`.
        sample: of the data that is shifted.
        ignored: label of pixels that come into masks from outside.
    """
    images = images_of(sample)
    if shift.kind == "rotate":
        return Transform(
            dict.fromkeys(images, lambda values, rows: rotate(values, shift.amount)),
            dict.fromkeys(masks_of(sample), lambda labels, rows: rotate_masks(labels, shift.amount, ignored)),
        )
    if shift.kind == "invert":
        return Transform(dict.fromkeys(images, lambda values, rows: 255 - values))
    if shift.kind == "blur":
        return Transform(dict.fromkeys(images, lambda values, rows: blur(values, shift.amount)))
    if shift.kind == "noise":
        noisy = [name for name, values in sample.inputs.items() if values.dtype != torch.int64]
        return Transform({name: _noise(name, shift.amount, seed, split) for name in noisy})
    raise ValueError(f"{shift.kind} changes no samples")


def _noise(name: str, std: float, seed: int, split: str) -> Change:
    """Adds noise to one input; every input gets its own."""
    purpose = (seed, "noise", split) if name == INPUTS else (seed, "noise", name, split)
    return lambda values, rows: add_noise(values, rows, std, *purpose)


def rotate(images: Tensor, degrees: float) -> Tensor:
    """Rotates counter-clockwise. Multiples of 90 degrees are exact; others leave black corners.

    Args:
        images: uint8 [B, C, H, W].
    Returns:
        uint8 [B, C, H, W], height and width exchanged for odd multiples of 90 degrees.
    """
    quarters, rest = divmod(degrees, 90)
    if rest == 0:
        return torch.rot90(images, int(quarters) % 4, dims=(2, 3)).contiguous()
    import_torchvision()
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as vision

    return vision.rotate(images, degrees, interpolation=InterpolationMode.BILINEAR, fill=[0.0])


def rotate_masks(masks: Tensor, degrees: float, fill: int) -> Tensor:
    """Rotates labels as `rotate` does their images; other angles take the nearest label, corners `fill`.

    Args:
        masks: int64 [B, H, W].
    """
    quarters, rest = divmod(degrees, 90)
    if rest == 0:
        return torch.rot90(masks, int(quarters) % 4, dims=(1, 2)).contiguous()
    import_torchvision()
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as vision

    nearest = InterpolationMode.NEAREST
    return vision.rotate(masks.unsqueeze(1), degrees, interpolation=nearest, fill=[float(fill)]).squeeze(1)


def blur(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur; beyond the border the outermost pixels go on.

    Args:
        images: uint8 [B, C, H, W].
        sigma: standard deviation in pixels.
    """
    if sigma == 0:
        return images
    batch, channels, height, width = images.shape
    radius = min(math.ceil(3 * sigma), max(height, width))
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma).square())
    kernel = kernel / kernel.sum()
    x = images.to(torch.float32).reshape(batch * channels, 1, height, width)
    x = functional.pad(x, (radius, radius, radius, radius), mode="replicate")
    x = functional.conv2d(functional.conv2d(x, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))
    return _as_bytes(x.reshape(images.shape))


def add_noise(samples: Tensor, rows: Tensor, std: float, *purpose: int | str) -> Tensor:
    """Adds Gaussian noise that depends only on purpose and row.

    Args:
        samples: uint8 or float32 [B, ...].
        rows: int64 [B], positions in the split.
        std: in the 0..1 scale for uint8, in the data's own unit for float32.
        purpose: seed, split, and what else tells this noise from other noise.
    """
    noise = torch.stack(
        [torch.randn(samples.shape[1:], generator=generator_for(*purpose, int(row))) for row in rows]
    )
    if samples.dtype == torch.uint8:
        return _as_bytes(samples + noise * (std * 255))
    return samples + noise * std


def _as_bytes(values: Tensor) -> Tensor:
    return values.round_().clamp_(0, 255).to(torch.uint8)


def chosen_labels(shifts: list[Shift], classes: list[str]) -> set[int]:
    """Labels that all `classes:...` shifts leave.

    Raises:
        ConfigError: a class is unknown, or none is left.
    """
    labels = set(range(len(classes)))
    for shift in shifts:
        if shift.kind == "classes":
            labels &= {_label(name, classes) for name in shift.classes}
    if not labels:
        raise ConfigError(["data.shift: no class is left after all classes:... shifts"])
    return labels


def _label(text: str, classes: list[str]) -> int:
    if text in classes:
        return classes.index(text)
    if text.isdecimal() and int(text) < len(classes):
        return int(text)
    near = difflib.get_close_matches(text, classes, n=1)
    some = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
    hint = f"did you mean '{near[0]}'?" if near else f"the data has {some}"
    raise ConfigError([f"data.shift: '{text}' is no class; {hint}"])
