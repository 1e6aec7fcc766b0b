"""Classification and segmentation models of torchvision: `torchvision:NAME`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch
from torch import nn

from ..artifacts.specs import InputSpec, channels_first_advice
from ..config.model_names import unknown_in_torchvision
from ..config.names import TORCHVISION as PREFIX
from ..errors import InputError, UsageError
from .arguments import fill, first_line, from_data, unknown_argument

# Classes of the pretrained models: ImageNet's, and for segmentation Pascal VOC's.
_IMAGE_CLASSES, _PIXEL_CLASSES = 1000, 21
# These return extra logits for auxiliary losses while training unless told otherwise.
_AUXILIARY = ("googlenet", "inception_v3")
# Arguments that name weights to download, and what torchvision called them before.
_WEIGHTS = ("weights", "weights_backbone")
_OLD_WEIGHTS = ("pretrained", "pretrained_backbone")
# What a segmentation model takes; its builder swallows anything else without a word.
_SEGMENTATION_ARGUMENTS = ("num_classes", *_WEIGHTS)


def torchvision_names() -> list[str]:
    """Names of torchvision's models for these tasks, without the prefix."""
    models = _models()
    return sorted([*models.list_models(module=models), *models.list_models(module=models.segmentation)])


def resolve_torchvision(
    name: str, given: Mapping[str, Any], input: InputSpec, outputs: int
) -> dict[str, Any]:
    """Completes the arguments of `torchvision:NAME` from the data.

    Raises:
        UsageError: there is no such model, or it does not fit the data.
    """
    short = _check_name(name)
    if len(input.shape) != 3 or input.shape[0] != 3 or input.dtype != "float32":
        grey = len(input.shape) == 3 and input.shape[0] == 1
        hint = "convert them with --channels 3" if grey else channels_first_advice(input.shape)
        raise UsageError(
            f"{name} takes images with 3 channels, the data's samples are {list(input.shape)}"
            + (f"; {hint}" if hint else "")
        )
    taken = ["num_classes", "image_size"] if short.startswith("vit_") else ["num_classes"]
    args = fill(name, given, from_data(input, outputs), taken)
    if short in _AUXILIARY:
        args.setdefault("aux_logits", False)
        if args.get("weights") is not None:
            args["transform_input"] = True
    return args


def build_torchvision(name: str, args: Mapping[str, Any]) -> nn.Module:
    """Builds `torchvision:NAME`; with `weights=DEFAULT` from weights that torchvision downloads, with
    `weights_backbone=DEFAULT` (segmentation) from those of its backbone.

    Raises:
        UsageError: there is no such model, or it does not take the arguments.
        InputError: the pretrained weights can't be downloaded.
    """
    short = _check_name(name)
    for key in _WEIGHTS:
        if args.get(key) not in (None, "DEFAULT"):
            raise UsageError(f"model.args.{key} of {name} is {args[key]!r}; it can only be null or DEFAULT")
    if _is_segmentation(short):
        return _build_segmentation(name, args)
    keywords = {key: value for key, value in args.items() if key not in _WEIGHTS}
    if args.get("weights") is None:
        if short in _AUXILIARY:
            keywords.setdefault("init_weights", True)
        return _construct(name, keywords)
    outputs = keywords.pop("num_classes", _IMAGE_CLASSES)
    model = _construct(name, {**keywords, "weights": args["weights"]})
    if outputs == _IMAGE_CLASSES:
        return model
    # An earlier layer may have as many outputs by chance.
    return _with_outputs(name, model, _layers_with(model, _IMAGE_CLASSES)[-1:], outputs)


def without_weights(args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments without those that name weights to download."""
    return {key: value for key, value in args.items() if key not in _WEIGHTS + _OLD_WEIGHTS}


def _build_segmentation(name: str, args: Mapping[str, Any]) -> nn.Module:
    for key in args:
        if key not in _SEGMENTATION_ARGUMENTS:
            raise UsageError(unknown_argument(name, key, _SEGMENTATION_ARGUMENTS))
    weights, outputs = args.get("weights"), args.get("num_classes", _PIXEL_CLASSES)
    # Without a word about its backbone, torchvision downloads weights for it.
    keywords = {"weights_backbone": args.get("weights_backbone"), "weights": weights}
    if weights is None:
        return _construct(name, {**keywords, "num_classes": outputs})
    model = _construct(name, keywords)
    if hasattr(model, "aux_classifier"):
        model.register_module("aux_classifier", None)
    if outputs == _PIXEL_CLASSES:
        return model
    return _with_outputs(name, model, _layers_with(model, _PIXEL_CLASSES), outputs)


def _is_segmentation(short: str) -> bool:
    models = _models()
    return short in models.list_models(module=models.segmentation)


def _check_name(name: str) -> str:
    short = name.removeprefix(PREFIX)
    names = torchvision_names()
    if short not in names:
        raise UsageError(unknown_in_torchvision(short, names))
    return short


def _construct(name: str, keywords: dict[str, Any]) -> nn.Module:
    short = name.removeprefix(PREFIX)
    try:
        return _models().get_model(short, **keywords)
    except OSError as error:
        raise InputError(
            f"the pretrained weights of {name} can't be downloaded ({first_line(error)}); "
            "train without them: leave out model.args.weights"
        ) from error
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if unknown:
            raise UsageError(unknown_argument(name, unknown[1], _known_arguments(short))) from error
        if "invalid hash value" in str(error) and any(keywords.get(key) is not None for key in _WEIGHTS):
            raise InputError(
                f"the download of the pretrained weights of {name} was damaged; try again"
            ) from error
        raise UsageError(f"{name} can't be built with {keywords}: {first_line(error)}") from error


def _known_arguments(short: str) -> list[str]:
    """What the class behind a model function takes; found by building it without memory."""
    import inspect

    with torch.device("meta"):
        model = _models().get_model(short, weights=None)
    names = inspect.signature(type(model).__init__).parameters
    return ["weights", *(n for n in names if n not in ("self", "args", "kwargs"))]


def _layers_with(model: nn.Module, outputs: int) -> list[str]:
    """Paths of the linear layers and convolutions with so many outputs, in their order."""
    return [
        path
        for path, module in model.named_modules()
        if (isinstance(module, nn.Linear) and module.out_features == outputs)
        or (isinstance(module, nn.Conv2d) and module.out_channels == outputs)
    ]


def _with_outputs(name: str, model: nn.Module, paths: list[str], outputs: int) -> nn.Module:
    """Replaces last layers of a pretrained model by new ones with another number of outputs."""
    if not paths:
        raise UsageError(f"{name} has no last layer that could be replaced for {outputs} classes")
    for path in paths:
        old = model.get_submodule(path)
        has_bias = old.bias is not None
        if isinstance(old, nn.Linear):
            new: nn.Module = nn.Linear(old.in_features, outputs, bias=has_bias)
        else:
            assert isinstance(old, nn.Conv2d)
            new = nn.Conv2d(old.in_channels, outputs, kernel_size=1, bias=has_bias)
        parent, _, attribute = path.rpartition(".")
        setattr(model.get_submodule(parent), attribute, new)
    return model


def _models() -> ModuleType:
    from ..vision import import_torchvision

    return import_torchvision().models
