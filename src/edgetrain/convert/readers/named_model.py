"""Weights from any file in a model that the user names."""

from __future__ import annotations

from torch import nn

from ...artifacts.specs import INPUTS, InputSpec
from ...config.model import ModelConfig
from ...config.stages import ConvertConfig
from ...errors import UsageError
from ...models import build_model, without_pretrained_weights
from ...models.arguments import parameter_defaults
from ...models.registry import BUILTINS
from ..source import Source
from ..suggestions import suggest_models
from ..weights import Weights, load_weights


def source_of_weights(weights: Weights, config: ConvertConfig, format: str, origin: str) -> Source:
    """A source from weights alone.

    Raises:
        UsageError: no model is named; the nearest ones are.
        InputError: the weights don't fit the model.
    """
    if config.model is None:
        raise UsageError(f"{origin} holds weights but not the model they belong to; {_hint(weights)}")
    model = ModelConfig(name=config.model, args=config.model_args)
    module = build_model(model)
    notes = load_weights(module, weights, origin, config.model)
    module.eval()
    return Source(
        format=format,
        reference=module,
        state=module.state_dict(),
        inputs=known_inputs(model, module),
        model=without_pretrained_weights(model),
        notes=[*weights.notes, *notes],
    )


def known_inputs(model: ModelConfig, module: nn.Module) -> dict[str, InputSpec] | None:
    """What a model of edgetrain takes, by its arguments; None for other models."""
    shape = _known_shape(model, module)
    return None if shape is None else {INPUTS: InputSpec(shape=shape)}


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


def _hint(weights: Weights) -> str:
    near = suggest_models(weights.state)
    if not near:
        return "name it with --model package.module:factory"
    return "by names and shapes it could be " + " or ".join(f"--model {name}" for name in near)
