"""Weights from any file in a model that the user names."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from ...artifacts.specs import INPUTS
from ...config.convert import ConvertConfig
from ...config.model import ModelConfig
from ...errors import UsageError, as_argument
from ...models import build_model, without_pretrained_weights
from ...models.arguments import parameter_defaults
from ...models.registry import BUILTINS
from ...models.states import tensors_of
from ...models.transformers_models import SETTINGS, architecture_in, with_folder_config
from ...upstream.imports import complete_torch
from ..fitting import load_weights
from ..source import Source
from ..specs import ModelInput
from ..suggestions import describe_weights, suggest_models
from ..weights import Weights


def source_of_weights(weights: Weights, config: ConvertConfig, format: str, path: Path) -> Source:
    """A source from weights alone.

    Args:
        path: the file they are of.
    Raises:
        UsageError: no model is named; the nearest ones are.
        InputError: the weights don't fit the model.
    """
    if config.model is None:
        raise UsageError(
            f"{path} holds {describe_weights(weights.state)}, but not the model they belong to; "
            f"{_hint(weights, path)}"
        )
    complete_torch()
    args = with_folder_config(config.model, config.model_args, path.parent)
    model = ModelConfig(name=config.model, args=args)
    module = build_model(model)
    # Of its own class the library leaves out what it no longer has, as poolers of older versions.
    surplus = config.allow_extra or config.model == architecture_in(path.parent)
    notes = load_weights(module, weights, str(path), config.model, allow_extra=surplus)
    module.eval()
    return Source(
        format=format,
        reference=module,
        state=tensors_of(module),
        inputs=known_inputs(model, module),
        model=without_pretrained_weights(model),
        notes=[*weights.notes, *notes],
    )


def known_inputs(model: ModelConfig, module: nn.Module) -> dict[str, ModelInput] | None:
    """What a model of edgetrain takes, by its arguments; None for other models."""
    shape = _known_shape(model, module)
    return None if shape is None else {INPUTS: ModelInput(shape)}


def _known_shape(model: ModelConfig, module: nn.Module) -> tuple[int, ...] | None:
    if model.name not in BUILTINS:
        return None
    builtin = BUILTINS[model.name]
    given = {**parameter_defaults(builtin.factory), **model.args}
    if {"in_channels", "image_size"} <= given.keys():
        size = int(given["image_size"])
        return int(given["in_channels"]), size, size
    if {"in_channels", "length"} <= given.keys():
        return int(given["in_channels"]), int(given["length"])
    first = next(m for m in module.modules() if isinstance(m, nn.Linear))
    return (first.in_features,)


def _hint(weights: Weights, path: Path) -> str:
    own = architecture_in(path.parent)
    if own is not None:
        return f"its {SETTINGS} says that it is --model {own}"
    near = suggest_models(weights.state)
    if not near:
        return "name it with --model package.module:factory"
    others = f" (or {' or '.join(near[1:])})" if near[1:] else ""
    return f"by names and shapes it could be: edgetrain convert {as_argument(path)} {near[0]}{others}"
