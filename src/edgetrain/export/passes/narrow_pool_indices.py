"""Indices of max-pooling, kept as places in their windows, which fit into a byte."""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from .rewriting import arguments, calls, computed, finish

aten = torch.ops.aten


def narrow_pool_indices(program: ExportedProgram) -> int:
    """Has the backward graph make the indices again from what is kept instead; returns how many pools there
    were.

    An index is the place of a pixel in its plane, an int64. How far it lies behind the first pixel of its
    window depends on the window's size and the image's width alone: 33 at most for windows of 2x2 in images
    32 wide. That is kept, and where each window begins is added again right before the gradient is scattered.
    """
    pools = [(pool, _indices(pool)) for pool in calls(program, aten.max_pool2d_with_indices.default)]
    found = [(pool, indices) for pool, indices in pools if indices is not None]
    for pool, indices in found:
        graph, users = program.graph, list(indices.users)
        with graph.inserting_before(indices.next):
            begins = _window_begins(pool, indices)
            # The lowest bytes' differences wrap around to those of whole numbers, and fewer bytes are moved.
            narrow = [
                computed(graph, aten._to_copy.default, (places,), indices, dtype=_smallest_type(pool))
                for places in (indices, begins)
            ]
            kept = computed(graph, aten.sub.Tensor, tuple(narrow), indices)
        with graph.inserting_before(users[0]):
            distances = computed(graph, aten._to_copy.default, (kept,), users[0], dtype=torch.int64)
            again = computed(graph, aten.add.Tensor, (distances, begins), users[0])
        for user in users:
            user.replace_input_with(indices, again)
    finish(program)
    return len(found)


def _indices(pool: Node) -> Node | None:
    """The indices a pool returns, if nothing but gradients are scattered by them."""
    indices = next((user for user in pool.users if user.args[1] == 1), None)
    if indices is None or not indices.users:
        return None
    views = [user for user in indices.users if user.target is aten.reshape.default]
    scattered = [user for view in views for user in view.users]
    only = len(views) == len(indices.users) and all(u.target is aten.scatter_add.default for u in scattered)
    return indices if only else None


def _window_begins(pool: Node, indices: Node) -> Node:
    """The index of each window's first pixel, [rows, columns]; before the image where that is padded."""
    width, sizes = _width(pool), indices.meta["val"].shape[-2:]
    stride, padding = _pair(pool, 2), _pair(pool, 3)
    corner = -padding[0] * width - padding[1]
    rows = _range(indices, corner, stride[0] * width, sizes[0])
    rows = computed(indices.graph, aten.reshape.default, (rows, [sizes[0], 1]), indices)
    return computed(indices.graph, aten.add.Tensor, (rows, _range(indices, 0, stride[1], sizes[1])), indices)


def _range(place: Node, first: int, step: int, count: int) -> Node:
    args = (first, first + count * step, step)
    return computed(place.graph, aten.arange.start_step, args, place, dtype=torch.int64)


def _smallest_type(pool: Node) -> torch.dtype:
    """For distances from a window's first pixel to its last."""
    kernel, dilation = _pair(pool, 1), _pair(pool, 4)
    farthest = (kernel[0] - 1) * dilation[0] * _width(pool) + (kernel[1] - 1) * dilation[1]
    return next(t for t in (torch.uint8, torch.int32, torch.int64) if farthest <= torch.iinfo(t).max)


def _width(pool: Node) -> int:
    return int(arguments(pool)[0].meta["val"].shape[-1])


def _pair(pool: Node, index: int) -> Any:
    """A setting's (y, x): kernel, stride, padding or dilation."""
    args = arguments(pool)
    if index == 2 and (len(args) <= 2 or args[2] == []):
        return _pair(pool, 1)
    values = args[index] if len(args) > index else (1 if index == 4 else 0)
    values = [values] if isinstance(values, int) else values
    return values if len(values) == 2 else [*values] * 2
