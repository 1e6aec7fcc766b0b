"""How a model is given the inputs of a sample."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ..errors import UsageError


def call_model(model: nn.Module, inputs: Mapping[str, Tensor]) -> Any:
    """Runs a model on named inputs, [B, ...] each, as `arrange_inputs` passes them."""
    arguments, keywords = arrange_inputs(model, inputs)
    return model(*arguments, **keywords)


def arrange_inputs(
    model: nn.Module, inputs: Mapping[str, Tensor]
) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """Named inputs as positional arguments and keywords of a model.

    A single input is the only argument. Several are passed by name where the model's `forward` has parameters
    of all their names, otherwise in their order.

    Raises:
        UsageError: some have a parameter's name, but not its position: either reading would be a guess.
    """
    if len(inputs) == 1:
        return tuple(inputs.values()), {}
    names = list(inspect.signature(model.forward).parameters)
    if all(name in names for name in inputs):
        return (), dict(inputs)
    for position, name in enumerate(inputs):
        if name in names and names.index(name) != position:
            raise UsageError(
                f"the model takes {', '.join(names)}, the data has {', '.join(inputs)}; name all inputs as "
                "the model does, or put them in its order with --inputs"
            )
    return tuple(inputs.values()), {}
