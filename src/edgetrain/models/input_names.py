"""What the inputs of a model are called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Any

import torch

from ..artifacts.specs import INPUTS

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def input_names(model: Callable[..., Any], count: int, *, without: Collection[str] = ()) -> list[str]:
    """Names for `count` inputs: a single one has the usual name, several have those of the model's code, or
    numbers where that names none.

    Args:
        without: arguments that are no inputs.
    """
    if count == 1:
        return [INPUTS]
    names = [name for name in _parameters(model) if name not in without][:count]
    return names if len(names) == count else [f"input{i}" for i in range(count)]


def _parameters(model: Callable[..., Any]) -> list[str]:
    if isinstance(model, torch.jit.ScriptModule):
        method: Any = model.forward
        return [argument.name for argument in method.schema.arguments][1:]
    parameters = inspect.signature(getattr(model, "forward", model)).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind in _POSITIONAL]
