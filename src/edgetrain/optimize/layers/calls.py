"""Calls of functions and methods as the layers that compute the same."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.fx import Node

from ...models.transforms.traced_forward import called

_HOMES = ("torch", "torch.nn.functional", "torch.Tensor")
_POOL = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_AVERAGE = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
_DROPOUT = ("p", "training", "inplace")
# By function: the layer, and the names of the arguments after the first.
_LAYERS: dict[str, tuple[type[nn.Module], tuple[str, ...]]] = {
    "relu": (nn.ReLU, ("inplace",)),
    "relu6": (nn.ReLU6, ("inplace",)),
    "leaky_relu": (nn.LeakyReLU, ("negative_slope", "inplace")),
    "silu": (nn.SiLU, ("inplace",)),
    "gelu": (nn.GELU, ("approximate",)),
    "mish": (nn.Mish, ("inplace",)),
    "elu": (nn.ELU, ("alpha", "inplace")),
    "softplus": (nn.Softplus, ("beta", "threshold")),
    "hardswish": (nn.Hardswish, ("inplace",)),
    "hardsigmoid": (nn.Hardsigmoid, ("inplace",)),
    "hardtanh": (nn.Hardtanh, ("min_val", "max_val", "inplace")),
    "sigmoid": (nn.Sigmoid, ()),
    "tanh": (nn.Tanh, ()),
    "dropout": (nn.Dropout, _DROPOUT),
    "dropout1d": (nn.Dropout1d, _DROPOUT),
    "dropout2d": (nn.Dropout2d, _DROPOUT),
    "dropout3d": (nn.Dropout3d, _DROPOUT),
    "alpha_dropout": (nn.AlphaDropout, _DROPOUT),
    "feature_alpha_dropout": (nn.FeatureAlphaDropout, _DROPOUT),
    "max_pool1d": (nn.MaxPool1d, _POOL),
    "max_pool2d": (nn.MaxPool2d, _POOL),
    "avg_pool1d": (nn.AvgPool1d, _AVERAGE[:-1]),
    "avg_pool2d": (nn.AvgPool2d, _AVERAGE),
    "adaptive_avg_pool1d": (nn.AdaptiveAvgPool1d, ("output_size",)),
    "adaptive_avg_pool2d": (nn.AdaptiveAvgPool2d, ("output_size",)),
    "adaptive_max_pool2d": (nn.AdaptiveMaxPool2d, ("output_size", "return_indices")),
    "interpolate": (
        nn.Upsample,
        ("size", "scale_factor", "mode", "align_corners", "recompute_scale_factor", "antialias"),
    ),
}
# A size that is computed in the forward.
COMPUTED: tuple[int, ...] = ()


def function_name(name: str) -> str | None:
    """The last part of the name of a function of PyTorch: x.sigmoid(), torch.sigmoid(x) and
    torch.nn.functional.sigmoid(x) are one function. None for one from elsewhere."""
    home, _, last = name.rpartition(".")
    return last if home in _HOMES else None


def layer_of_call(node: Node, by_mode: tuple[str, ...] = ()) -> nn.Module | None:
    """The layer that computes what a call does; None where there is none, or its arguments aren't known.

    Args:
        by_mode: names of the dropouts that follow the module's mode; others are no layers.
    """
    name = function_name(called(node)) or ""
    in_place = name.endswith("_")
    if name.rstrip("_") not in _LAYERS:
        return None
    kind, names = _LAYERS[name.rstrip("_")]
    arguments: dict[str, Any] = dict(zip(names, node.args[1:], strict=False))
    arguments |= {key: value for key, value in node.kwargs.items() if key != "input"}
    if in_place:
        arguments["inplace"] = True
    if "training" in names and (arguments.pop("training", None) is None or node.name not in by_mode):
        return None
    if kind is nn.Upsample:
        if arguments.pop("antialias", False):
            return None
        if _computed(arguments.get("size")):
            arguments["size"] = COMPUTED
    if any(_computed(value) for value in arguments.values()):
        return None
    try:
        return kind(**arguments)
    except (TypeError, ValueError):
        return None


def _computed(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return any(_computed(item) for item in value)
    return isinstance(value, Node)
