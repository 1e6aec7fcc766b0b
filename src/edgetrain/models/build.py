"""From a model's name and arguments to the module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ..artifacts.specs import InputSpec, channels_first_advice
from ..artifacts.transforms import GRAPH
from ..config.model import ModelConfig
from ..config.model_names import unknown_model
from ..errors import UsageError
from . import transformers_models
from .arguments import check_names, fill, first_line, from_data, parameter_defaults
from .custom import build_custom, custom_parameters
from .registry import BUILTINS, Builtin
from .torchvision_models import (
    PREFIX,
    build_torchvision,
    resolve_torchvision,
    without_weights,
)


def is_custom(name: str) -> bool:
    """Whether `name` is `package.module:factory`: building it runs code that is not edgetrain's."""
    return ":" in name and not name.startswith((PREFIX, transformers_models.PREFIX))


def resolve_model(config: ModelConfig, inputs: Mapping[str, InputSpec], outputs: int) -> ModelConfig:
    """Completes the arguments of a model from the data it is trained on.

    What is left out and known from the data (num_classes, in_channels, image_size, in_features, length) is
    filled in, and so are the defaults of built-in models: the result builds the same architecture again.

    Args:
        inputs: of one sample of the data, by name, once preprocessed.
        outputs: number of classes, or of values per target in a regression.
    Raises:
        UsageError: the model is unknown or does not fit the data.
    """
    name = config.name
    if is_custom(name):
        args = fill(name, config.args, {"num_classes": outputs}, custom_parameters(name))
    elif name.startswith(transformers_models.PREFIX):
        args = dict(config.args)
    elif name.startswith(PREFIX):
        args = resolve_torchvision(name, config.args, _only(name, inputs), outputs)
    else:
        args = _resolve_builtin(name, config.args, inputs, outputs)
    return ModelConfig(name=name, args=args)


def build_model(config: ModelConfig) -> nn.Module:
    """Builds a model from its complete configuration; initial weights come from PyTorch's global generator.

    Raises:
        UsageError: the model is unknown, or its arguments are wrong.
        InputError: pretrained weights were asked for and can't be downloaded.
    """
    name = config.name
    if name == GRAPH:
        return nn.Identity()
    if name.startswith(PREFIX):
        return build_torchvision(name, config.args)
    if name.startswith(transformers_models.PREFIX):
        return transformers_models.build_transformers(name, config.args)
    if is_custom(name):
        return build_custom(name, config.args)
    factory = _builtin(name).factory
    check_names(name, config.args, factory)
    try:
        return factory(**config.args)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{name} can't be built with {config.args}: {first_line(error)}") from error


def without_pretrained_weights(config: ModelConfig) -> ModelConfig:
    """The same architecture without the download of pretrained weights: what a checkpoint stores, since it
    brings weights of its own."""
    if not config.name.startswith(PREFIX):
        return config
    return ModelConfig(name=config.name, args=without_weights(config.args))


def _only(name: str, inputs: Mapping[str, InputSpec]) -> InputSpec:
    """The only input of a sample."""
    if len(inputs) != 1:
        raise UsageError(
            f"{name} takes one input, the data's samples have {', '.join(inputs)}; choose one with --inputs, "
            "or write a model that takes them all: --model package.module:factory"
        )
    return next(iter(inputs.values()))


def _resolve_builtin(
    name: str, given: Mapping[str, Any], inputs: Mapping[str, InputSpec], outputs: int
) -> dict[str, Any]:
    model, input = _builtin(name), _only(name, inputs)
    _check_sample(name, model, input)
    defaults = parameter_defaults(model.factory)
    args = fill(name, given, from_data(input, outputs), defaults)
    check_names(name, args, model.factory)
    rest = {k: list(v) if isinstance(v, tuple) else v for k, v in defaults.items() if k not in args}
    return {**args, **rest}


def _check_sample(name: str, model: Builtin, input: InputSpec) -> None:
    """Compares what a built-in model takes with one sample of the data.

    Raises:
        UsageError: number of dimensions, aspect ratio or dtype don't fit.
    """
    shape = list(input.shape)
    if input.dtype != model.dtype:
        what = "" if model.dtype == "float32" else " (ids)"
        raise UsageError(f"{name} takes {model.dtype} inputs{what}, the data's are {input.dtype}")
    if model.dims is not None and len(shape) != model.dims:
        kind = {1: "[D]" if model.dtype == "float32" else "[T]", 2: "[C, L]", 3: "[C, H, W]"}[model.dims]
        raise UsageError(f"{name} takes samples of shape {kind}, the data's are {shape}")
    if model.dims == 3 and shape[1] != shape[2]:
        if advice := channels_first_advice(input.shape):
            raise UsageError(f"{name} takes images [C, H, W], the data's are {shape}; {advice}")
        raise UsageError(
            f"{name} takes square images, the data's are {shape[1]}x{shape[2]}; set --image-size"
        )


def _builtin(name: str) -> Builtin:
    if name in BUILTINS:
        return BUILTINS[name]
    raise UsageError(unknown_model(name))
