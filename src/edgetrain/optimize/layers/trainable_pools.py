"""Pools whose gradient the runtime can't compute → equal ones whose gradient it can."""

from __future__ import annotations

from torch import nn

from .changes import Place


def trainable_pools_instead(place: Place) -> nn.Module | None:
    """Equal for inputs of the size that was seen: adaptive pools with a fixed window, pools that round their
    size up without rounding. Others stay."""
    pool = place.layer
    if type(pool) is nn.AdaptiveAvgPool2d and pool.output_size not in (1, (1, 1)):
        return _fixed(place, nn.AvgPool2d)
    if type(pool) is nn.AdaptiveMaxPool2d and not pool.return_indices:
        return _fixed(place, nn.MaxPool2d)
    if type(pool) is nn.AvgPool2d and pool.ceil_mode:
        return _rounded_down(place, pool)
    return None


def _fixed(place: Place, kind: type[nn.AvgPool2d] | type[nn.MaxPool2d]) -> nn.Module | None:
    """A pool of this kind whose window is the share of the map that each output is about."""
    sizes = {(before[-2:], after[-2:]) for before, after in place.sizes()}
    if len(sizes) != 1:
        place.note("stays, since the size of its window isn't known, or not always the same")
        return None
    ((height, width), (rows, columns)) = sizes.pop()
    if (height, width) == (rows, columns):
        return nn.Identity()
    if height % rows or width % columns:
        place.note(f"stays, since {height}x{width} is no multiple of {rows}x{columns}")
        return None
    return kind((height // rows, width // columns))


def _rounded_down(place: Place, pool: nn.AvgPool2d) -> nn.Module | None:
    plain = nn.AvgPool2d(
        pool.kernel_size,
        pool.stride,
        pool.padding,
        count_include_pad=pool.count_include_pad,
        divisor_override=pool.divisor_override,
    )
    window, stride, padding = (
        (value, value) if isinstance(value, int) else tuple(value)
        for value in (pool.kernel_size, pool.stride, pool.padding)
    )
    for before, after in place.sizes():
        down = tuple(
            (size + 2 * p - k) // s + 1
            for size, p, k, s in zip(before[-2:], padding, window, stride, strict=True)
        )
        if down != after[-2:]:
            place.note("stays, since its ceil_mode adds to its output")
            return None
    if not place.sizes():
        place.note("stays, since without inputs it isn't known whether its ceil_mode adds to its output")
        return None
    return plain
