"""Pools with large windows → chains of pools with windows of 3 and 2, of the same output size."""

from __future__ import annotations

from typing import Any

from torch import nn

from .changes import Place

_LARGE = 5
_DIMS: dict[type[nn.Module], int] = {nn.MaxPool1d: 1, nn.MaxPool2d: 2, nn.AvgPool1d: 1, nn.AvgPool2d: 2}


def max_pools_instead(place: Place) -> nn.Module | None:
    """A chain that computes exactly the same: what is largest of the largest is largest of all."""
    pool = place.layer
    if not isinstance(pool, nn.MaxPool1d | nn.MaxPool2d) or type(pool) not in _DIMS or not _is_large(pool):
        return None
    dims = _DIMS[type(pool)]
    if pool.return_indices or pool.ceil_mode or any(d != 1 for d in _each(pool.dilation, dims)):
        place.note("stays, since its indices, dilation or ceil_mode can't be kept by a chain")
        return None
    return _chain(pool, dims, {})


def average_pools_instead(place: Place) -> nn.Module | None:
    """A chain of averages, which weighs the middle of the window more. A pool over the whole map stays."""
    pool = place.layer
    if not isinstance(pool, nn.AvgPool1d | nn.AvgPool2d) or type(pool) not in _DIMS or not _is_large(pool):
        return None
    dims = _DIMS[type(pool)]
    if pool.ceil_mode or getattr(pool, "divisor_override", None):
        place.note("stays, since its ceil_mode or divisor can't be kept by a chain")
        return None
    sizes = place.sizes()
    if not sizes:
        place.note("stays, since without inputs it isn't known whether it averages over the whole map")
        return None
    kernel = tuple(_each(pool.kernel_size, dims))
    if any(before[-dims:] == kernel for before, _ in sizes):
        return None
    return _chain(pool, dims, {"count_include_pad": pool.count_include_pad})


def _is_large(pool: Any) -> bool:
    return max(_each(pool.kernel_size, _DIMS[type(pool)])) >= _LARGE


def _chain(pool: Any, dims: int, others: dict[str, Any]) -> nn.Sequential:
    """The padding is shared out, at most 1 for each; the last one has the stride."""
    kernels = [_windows(size) for size in _each(pool.kernel_size, dims)]
    paddings = _each(pool.padding, dims)
    length = max(map(len, kernels))
    kernels = [[*sizes, *[1] * (length - len(sizes))] for sizes in kernels]
    pads = [
        [int(i < padding and size > 1) for i, size in enumerate(sizes)]
        for sizes, padding in zip(kernels, paddings, strict=True)
    ]
    strides = _each(pool.stride, dims)
    return nn.Sequential(
        *(
            type(pool)(
                _one(tuple(sizes[i] for sizes in kernels)),
                stride=_one(tuple(strides) if i == length - 1 else (1,) * dims),
                padding=_one(tuple(pad[i] for pad in pads)),
                **others,
            )
            for i in range(length)
        )
    )


def _windows(size: int) -> list[int]:
    """Windows that reach over `size` values one after the other; a small one is itself."""
    if size < 4:
        return [size]
    return [3] * ((size - 1) // 2) + [2] * (1 - size % 2)


def _each(value: int | tuple[int, ...], dims: int) -> list[int]:
    return [value] * dims if isinstance(value, int) else list(value) * (dims if len(value) == 1 else 1)


def _one(values: tuple[int, ...]) -> Any:
    """One number where all are the same."""
    return values[0] if len(set(values)) == 1 else values
