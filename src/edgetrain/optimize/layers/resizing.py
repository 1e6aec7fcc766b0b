"""Resizing to a size → resizing by a whole factor."""

from __future__ import annotations

from torch import nn

from .changes import Place


def by_scale_instead(place: Place) -> nn.Module | None:
    """The same by the factor that was seen; equal for inputs of that size."""
    resize = place.layer
    if type(resize) is not nn.Upsample or resize.size is None:
        return None
    factors = {_factors(before, after) for before, after in place.sizes()}
    if not factors:
        place.note("stays, since without inputs its factor isn't known")
        return None
    factor = factors.pop()
    if factors or factor is None:
        place.note("stays, since its factor is no whole number, or not always the same")
        return None
    return nn.Upsample(scale_factor=factor, mode=resize.mode, align_corners=resize.align_corners)


def _factors(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[float, ...] | None:
    """How many times as large each of the sizes after the channels became."""
    pairs = list(zip(before[2:], after[2:], strict=True))
    if any(new % old for old, new in pairs):
        return None
    return tuple(float(new // old) for old, new in pairs)
