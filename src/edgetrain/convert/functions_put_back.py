"""relu(x) and the like in a captured graph → layers, named after their kind."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.fx import GraphModule, Node

from .new_calls import call_layer

aten = torch.ops.aten


def put_functions_back(graph_module: GraphModule) -> None:
    """Replaces activations and pools by layers that make the same calls."""
    for node in list(graph_module.graph.nodes):
        make = _LAYERS.get(node.target) if node.op == "call_function" else None
        x = node.args[0] if node.args else None
        if make is None or not isinstance(x, Node) or x in node.all_input_nodes[1:]:
            continue
        settings = [tuple(value) if isinstance(value, list | tuple) else value for value in node.args[1:]]
        layer = None if _has_nodes(settings) else make(*settings, **node.kwargs)
        if layer is not None:
            call_layer(graph_module, node, _free_name(graph_module, type(layer).__name__.lower()), layer, x)


def _free_name(graph_module: GraphModule, name: str) -> str:
    """The name, with a number behind it from the second layer on."""
    number = 0
    while hasattr(graph_module, f"{name}_{number}" if number else name):
        number += 1
    return f"{name}_{number}" if number else name


def _has_nodes(settings: list[Any]) -> bool:
    lists = [value if isinstance(value, tuple) else (value,) for value in settings]
    return any(isinstance(item, Node) for values in lists for item in values)


def _hardtanh(least: float = -1, most: float = 1, *, inplace: bool = False) -> nn.Module:
    return nn.ReLU6(inplace) if (least, most) == (0, 6) else nn.Hardtanh(least, most, inplace)


def _elu(
    alpha: float = 1, scale: float = 1, input_scale: float = 1, *, inplace: bool = False
) -> nn.Module | None:
    return nn.ELU(alpha, inplace) if scale == input_scale == 1 else None


def _pool(kind: Any, *others: str) -> Callable[..., nn.Module]:
    """Of a kind of pool; `others` is what its operator takes after kernel and stride."""

    def make(kernel: Any, stride: Any = (), *rest: Any) -> nn.Module:
        settings = {name: _one(value) for name, value in zip(others, rest, strict=False)}
        layer: nn.Module = kind(_one(kernel), _one(stride) or None, **settings)
        return layer

    return make


def _one(lengths: Any) -> Any:
    """One number where all are the same, as people write it."""
    return lengths[0] if isinstance(lengths, tuple) and len(set(lengths)) == 1 else lengths


_MAX = ("padding", "dilation", "ceil_mode")
_AVERAGE = ("padding", "ceil_mode", "count_include_pad", "divisor_override")
_INPLACE: dict[str, Callable[..., nn.Module | None]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hardtanh": _hardtanh,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
    "hardsigmoid": nn.Hardsigmoid,
    "leaky_relu": nn.LeakyReLU,
    "elu": _elu,
    "mish": nn.Mish,
}
_LAYERS: dict[Any, Callable[..., nn.Module | None]] = {
    **{getattr(aten, name).default: make for name, make in _INPLACE.items()},
    **{getattr(aten, f"{name}_").default: partial(make, inplace=True) for name, make in _INPLACE.items()},
    aten.sigmoid.default: nn.Sigmoid,
    aten.tanh.default: nn.Tanh,
    aten.gelu.default: nn.GELU,
    aten.softplus.default: nn.Softplus,
    aten.max_pool1d.default: _pool(nn.MaxPool1d, *_MAX),
    aten.max_pool2d.default: _pool(nn.MaxPool2d, *_MAX),
    aten.avg_pool1d.default: _pool(nn.AvgPool1d, *_AVERAGE),
    aten.avg_pool2d.default: _pool(nn.AvgPool2d, *_AVERAGE),
    aten.adaptive_avg_pool1d.default: lambda size: nn.AdaptiveAvgPool1d(_one(size)),
    aten.adaptive_avg_pool2d.default: nn.AdaptiveAvgPool2d,
}
