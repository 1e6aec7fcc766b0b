"""Building the model a file names, without letting the file choose what code runs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ..artifacts.checkpoint import Checkpoint
from ..artifacts.transforms import Transform
from ..config.model import ModelConfig
from ..errors import InputError, UsageError
from ..factories import NOTHING, Trusted
from .build import build_model, is_custom, without_pretrained_weights
from .states import fill, tensors_of
from .transforms import apply_transforms

_MOST_CUT = 100
_SMALL = 2**24


def build_trusted_model(
    config: ModelConfig,
    trusted: Trusted = NOTHING,
    *,
    source: str,
    transforms: Sequence[Transform] = (),
) -> nn.Module:
    """Builds the model a checkpoint or manifest names, and does to it again what it says was done.

    A model of edgetrain or torchvision, or a graph, is built as it is. A `package.module:factory` is
    somebody's code, called with arguments from the file, so it has to be named by the caller as well.
    Pretrained weights that the file asks for aren't downloaded: it brings its own.

    Args:
        trusted: the factory the caller vouches for (`--model`).
        source: the file, for the message.
        transforms: what was done to the model, in order.
    Raises:
        InputError: the file names a factory that the caller did not, or the transforms don't fit the model.
    """
    check_trusted(config, trusted, source=source)
    return apply_transforms(build_model(without_pretrained_weights(config)), transforms)


def load_trusted_model(checkpoint: Checkpoint, trusted: Trusted = NOTHING, *, source: str) -> nn.Module:
    """The model of a checkpoint, with its weights.

    Args:
        trusted, source: as for `build_trusted_model`.
    Raises:
        InputError: as there, or the weights don't fit.
    """
    check_trusted(checkpoint.model, trusted, source=source)
    _check_size(checkpoint, source)
    model = build_trusted_model(checkpoint.model, trusted, source=source, transforms=checkpoint.transforms)
    try:
        fill(model, checkpoint.state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"{source} does not fit the model {checkpoint.model.name}: {reason}") from error
    return model


def _check_size(checkpoint: Checkpoint, source: str) -> None:
    """Refuses a model that is far larger than its weights: a file may name one of any size.

    Raises:
        InputError: so it is.
    """
    if is_custom(checkpoint.model.name):
        return
    try:
        with torch.device("meta"):
            named = build_model(without_pretrained_weights(checkpoint.model))
    except (UsageError, RuntimeError):
        # Some can't be built without memory; what else is wrong with it, building it for good says.
        return
    numbers = sum(tensor.numel() for tensor in tensors_of(named).values())
    held = sum(tensor.numel() for tensor in checkpoint.state.values())
    # Surgery and pruning make models smaller, but not so much.
    if numbers > _MOST_CUT * held + _SMALL:
        raise InputError(
            f"{source} does not fit the model {checkpoint.model.name}: that has {numbers} parameters, and "
            f"the file {held}"
        )


def check_trusted(config: ModelConfig, trusted: Trusted, *, source: str) -> None:
    """Refuses a model that only somebody's code builds, unless the caller named that code.

    Raises:
        InputError: see `build_trusted_model`.
    """
    if is_custom(config.name) and config.name != trusted.model:
        raise InputError(
            f"{source} names {config.name} as the code that builds its model; "
            f"if you trust it, confirm with --model {config.name}"
        )
