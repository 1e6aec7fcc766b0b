"""Convolutions with windows that are hard to compute → with smaller ones, of the same output size."""

from __future__ import annotations

import torch
from torch import nn

from .changes import Place


def kernel_5_instead(place: Place) -> nn.Module | None:
    """A window of 5 for one of 6, without the last of the weights."""
    return _smaller(place, {6: 5})


def kernel_7_instead(place: Place) -> nn.Module | None:
    """The middle 7 weights of a window that is larger."""
    layer = place.layer
    if type(layer) is not nn.Conv2d:
        return None
    return _smaller(place, {size: 7 for size in layer.kernel_size if size > 7})


def _smaller(place: Place, sizes: dict[int, int]) -> nn.Module | None:
    layer = place.layer
    if type(layer) is not nn.Conv2d or not any(size in sizes for size in layer.kernel_size):
        return None
    if layer.padding_mode != "zeros" or any(d != 1 for d in layer.dilation):
        place.note("stays, since its dilation or kind of padding can't be kept with a smaller window")
        return None
    kernel = [sizes.get(size, size) for size in layer.kernel_size]
    # How many weights are cut off before and after the middle.
    cut = [
        ((old - new) // 2, (old - new + 1) // 2) for old, new in zip(layer.kernel_size, kernel, strict=True)
    ]
    if layer.padding == "same":
        return _cropped(layer, kernel, cut, "same")
    assert not isinstance(layer.padding, str) or layer.padding == "valid"
    old_pads = [0, 0] if isinstance(layer.padding, str) else list(layer.padding)
    pads = [(pad - before, pad - after) for pad, (before, after) in zip(old_pads, cut, strict=True)]
    symmetric = [max(pair) for pair in pads]
    if all(low == high for low, high in pads) and min(symmetric) >= 0:
        return _cropped(layer, kernel, cut, symmetric)
    if min(symmetric) >= 0 and place.sizes() and _same_size(layer, kernel, symmetric, place):
        return _cropped(layer, kernel, cut, symmetric)
    (top, bottom), (left, right) = pads
    return nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), _cropped(layer, kernel, cut, 0))


def _same_size(layer: nn.Conv2d, kernel: list[int], pads: list[int], place: Place) -> bool:
    """Whether the outputs have the size that was seen, with as much padding after as before."""
    return all(
        (size + 2 * pad - window) // stride + 1 == found
        for before, after in place.sizes()
        for size, found, window, pad, stride in zip(
            before[-2:], after[-2:], kernel, pads, layer.stride, strict=True
        )
    )


def _cropped(
    layer: nn.Conv2d, kernel: list[int], cut: list[tuple[int, int]], padding: list[int] | int | str
) -> nn.Conv2d:
    """The convolution with a part of each window's weights."""
    new = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        tuple(kernel),  # type: ignore[arg-type]
        layer.stride,  # type: ignore[arg-type]
        tuple(padding) if isinstance(padding, list) else padding,  # type: ignore[arg-type]
        groups=layer.groups,
        bias=layer.bias is not None,
    )
    (top, _), (left, _) = cut
    with torch.no_grad():
        new.weight.copy_(layer.weight[:, :, top : top + kernel[0], left : left + kernel[1]])
        if layer.bias is not None and new.bias is not None:
            new.bias.copy_(layer.bias)
    return new
