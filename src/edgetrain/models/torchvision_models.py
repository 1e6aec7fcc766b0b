"""Classification models of torchvision: `torchvision:NAME`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch
from torch import nn

from ..artifacts.specs import TensorSpec
from ..errors import InputError, UsageError
from .arguments import did_you_mean, fill, first_line, from_data, unknown_argument

PREFIX = "torchvision:"
_PRETRAINED_CLASSES = 1000
# These return extra logits for auxiliary losses while training unless told otherwise.
_AUXILIARY = ("googlenet", "inception_v3")


def torchvision_names() -> list[str]:
    """Names of torchvision's classification models, without the prefix."""
    models = _models()
    return sorted(models.list_models(module=models))


def resolve_torchvision(
    name: str, given: Mapping[str, Any], input: TensorSpec, outputs: int
) -> dict[str, Any]:
    """Completes the arguments of `torchvision:NAME` from the data.

    Raises:
        UsageError: there is no such model, or it does not fit the data.
    """
    short = _check_name(name)
    if len(input.shape) != 3 or input.shape[0] != 3 or input.dtype != "float32":
        hint = "; convert them with --channels 3" if len(input.shape) == 3 and input.shape[0] == 1 else ""
        raise UsageError(
            f"{name} takes images with 3 channels, the data's samples are {list(input.shape)}{hint}"
        )
    taken = ["num_classes", "image_size"] if short.startswith("vit_") else ["num_classes"]
    args = fill(name, given, from_data(input, outputs), taken)
    if short in _AUXILIARY:
        args.setdefault("aux_logits", False)
        if args.get("weights") is not None:
            args["transform_input"] = True
    return args


def build_torchvision(name: str, args: Mapping[str, Any]) -> nn.Module:
    """Builds `torchvision:NAME`; with `weights=DEFAULT` from weights that torchvision downloads.

    Raises:
        UsageError: there is no such model, or it does not take the arguments.
        InputError: the pretrained weights can't be downloaded.
    """
    short = _check_name(name)
    keywords = dict(args)
    weights = keywords.pop("weights", None)
    if weights not in (None, "DEFAULT"):
        raise UsageError(f"model.args.weights of {name} is {weights!r}; it can only be null or DEFAULT")
    if weights is None:
        if short in _AUXILIARY:
            keywords.setdefault("init_weights", True)
        return _construct(name, keywords)
    outputs = keywords.pop("num_classes", _PRETRAINED_CLASSES)
    return _with_outputs(name, _construct(name, {**keywords, "weights": weights}), outputs)


def _check_name(name: str) -> str:
    short = name.removeprefix(PREFIX)
    names = torchvision_names()
    if short not in names:
        hint = did_you_mean(short, names) or "see torchvision.models.list_models()"
        raise UsageError(f"torchvision has no classification model '{short}'; {hint}")
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
        if keywords.get("weights") is not None and "invalid hash value" in str(error):
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


def _with_outputs(name: str, model: nn.Module, outputs: int) -> nn.Module:
    """Replaces the pretrained model's last layer when it has another number of outputs."""
    if outputs == _PRETRAINED_CLASSES:
        return model
    for path, module in reversed(list(model.named_modules())):
        if isinstance(module, nn.Linear) and module.out_features == _PRETRAINED_CLASSES:
            head: nn.Module = nn.Linear(module.in_features, outputs, bias=module.bias is not None)
        elif isinstance(module, nn.Conv2d) and module.out_channels == _PRETRAINED_CLASSES:
            head = nn.Conv2d(module.in_channels, outputs, kernel_size=1)
        else:
            continue
        parent, _, attribute = path.rpartition(".")
        setattr(model.get_submodule(parent), attribute, head)
        return model
    raise UsageError(f"{name} has no last layer that could be replaced for {outputs} classes")


def _models() -> ModuleType:
    from ..vision import import_torchvision

    return import_torchvision().models
