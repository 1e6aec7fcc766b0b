"""Layers from and to plain data, without letting a file choose what code runs."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from ...artifacts.transforms import Layer
from ...errors import InputError
from .batch_norm_last import BatchNormLast

_NAMES = """
    Identity Sequential Flatten
    ReLU ReLU6 LeakyReLU Sigmoid Tanh Hardswish Hardsigmoid Hardtanh SiLU GELU ELU Softplus Mish PReLU
    Conv1d Conv2d Conv3d Linear Embedding BatchNorm1d BatchNorm2d BatchNorm3d LayerNorm GroupNorm
    Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout
    MaxPool1d MaxPool2d AvgPool1d AvgPool2d
    AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveMaxPool1d AdaptiveMaxPool2d Upsample ZeroPad2d
"""
LAYERS: dict[str, type[nn.Module]] = {
    **{name: getattr(nn, name) for name in _NAMES.split()},
    "BatchNormLast": BatchNormLast,
}


# Arguments of constructors that a model's surroundings decide.
_NEVER = ("device", "dtype")


def build_layer(layer: Layer) -> nn.Module:
    """A layer with initial parameters.

    Raises:
        InputError: there is no such layer, or it doesn't take these arguments.
    """
    if layer.type == "Sequential":
        return nn.Sequential(*(build_layer(inner) for inner in layer.layers))
    kind = LAYERS.get(layer.type)
    if kind is None:
        raise InputError(f"a layer of type {layer.type} is none that a checkpoint may have")
    if not layer.args.keys().isdisjoint(_NEVER):
        raise InputError(f"a layer of type {layer.type} says {' or '.join(_NEVER)}, which is not its to say")
    try:
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in layer.args.items()})
    except (TypeError, ValueError, RuntimeError, OverflowError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{layer.type} can't be built with {layer.args} ({reason})") from error


def describe_layer(module: nn.Module) -> Layer:
    """A layer as plain data, from which `build_layer` makes another of its kind and shape.

    Raises:
        ValueError: it is none of `LAYERS`.
    """
    if type(module) is nn.Sequential:
        return Layer(type="Sequential", layers=tuple(describe_layer(inner) for inner in module))
    name = type(module).__name__
    if LAYERS.get(name) is not type(module):
        raise ValueError(f"{name} is no layer that can be written down")
    return Layer(type=name, args=_arguments(module))


def _arguments(module: nn.Module) -> dict[str, Any]:
    """What the constructor takes, as the layer's attributes say; defaults are left out."""
    args = {}
    for name, parameter in inspect.signature(type(module).__init__).parameters.items():
        if name in ("self", *_NEVER):
            continue
        value = getattr(module, name, parameter.default)
        if name in ("bias", "elementwise_affine"):
            value = value is not None and value is not False
        if value != parameter.default:
            args[name] = list(value) if isinstance(value, tuple) else value
    return args
