"""Calls that an operator's kernels refuse at run time, by number: known before there is a program.

All kernels there are, ExecuTorch's own and ours, which leave to these what they don't cover.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from ..upstream.edge import edge_operator_names
from .passes.rewriting import arguments

Limit = Callable[[Node], str | None]
# Element types that kernels compute with. Training is in float32; others come from tables and masks.
_TYPES = (torch.float32, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
_WIDE = (torch.float64, torch.float16, torch.bfloat16)


def refused(node: Node) -> str | None:
    """Why no kernel takes a call of the edge dialect; None where one does."""
    names = edge_operator_names(node)
    if names is None:
        return None
    limit = _LIMITS.get(names[0].split(".")[0])
    return _types(node) or (None if limit is None else limit(node))


def _types(node: Node) -> str | None:
    values = node.meta.get("val")
    for value in values if isinstance(values, (list, tuple)) else [values]:
        if isinstance(value, Tensor) and value.dtype not in _TYPES + _WIDE:
            return f"{str(value.dtype).removeprefix('torch.')} numbers"
    return None


def _dimensions(index: int, least: int, most: int) -> Limit:
    def limit(node: Node) -> str | None:
        dims = _value(node, index).dim()
        return None if least <= dims <= most else f"tensors of {dims} dimensions"

    return limit


def _convolution_backward(node: Node) -> str | None:
    if arguments(node)[7]:
        return "transposed ones"
    return _dimensions(1, 4, 4)(node)


def _random(node: Node) -> str | None:
    """Fixed numbers, which a program is verified with, are cut to the batch (`artifacts.fixed_draws`)."""
    value: Any = node.meta["val"]
    if value.dtype is not torch.float32:
        return f"{str(value.dtype).removeprefix('torch.')} numbers"
    inner = any(not isinstance(size, int) for size in value.shape[1:])
    return "shapes in which another length than the first depends on the batch" if inner else None


def _value(node: Node, index: int) -> Any:
    return arguments(node)[index].meta["val"]


_LIMITS: dict[str, Limit] = {
    "aten::convolution": _dimensions(0, 3, 4),
    "aten::convolution_backward": _convolution_backward,
    "aten::max_pool2d_with_indices": _dimensions(0, 3, 4),
    "aten::avg_pool2d": _dimensions(0, 3, 4),
    "aten::upsample_nearest2d": _dimensions(0, 4, 4),
    "aten::upsample_bilinear2d": _dimensions(0, 4, 4),
    "aten::rand": _random,
    "aten::randn": _random,
}
