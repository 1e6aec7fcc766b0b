"""Model arguments: which ones a factory takes, and which ones the data decides."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ..artifacts.specs import TensorSpec
from ..config.wording import did_you_mean
from ..errors import UsageError


def from_data(input: TensorSpec, outputs: int) -> dict[str, int]:
    """What the data says about a model's arguments, by their usual names."""
    known = {"num_classes": outputs, "in_features": math.prod(input.shape)}
    if len(input.shape) == 3:
        known["in_channels"] = input.shape[0]
        if input.shape[1] == input.shape[2]:
            known["image_size"] = input.shape[2]
    elif len(input.shape) == 2:
        known["in_channels"], known["length"] = input.shape
    elif input.dtype == "int64" and len(input.shape) == 1:
        known["length"] = input.shape[0]
    return known


def fill(
    name: str, given: Mapping[str, Any], data: Mapping[str, int], taken: Collection[str]
) -> dict[str, Any]:
    """Adds to the `given` arguments those that the factory takes and the data knows.

    Raises:
        UsageError: a given argument contradicts the data.
    """
    args = dict(given)
    for key, value in data.items():
        if key not in taken:
            continue
        if args.setdefault(key, value) != value:
            raise UsageError(
                f"model.args.{key} of {name} is {args[key]!r}, but the data needs {value}; leave it out"
            )
    return args


def parameter_defaults(factory: Callable[..., Any]) -> dict[str, Any]:
    """The named parameters of a factory with their defaults (`inspect.Parameter.empty` where there is none).

    Factories whose signature Python can't tell have no known parameters.
    """
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return {}
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {p.name: p.default for p in parameters if p.kind in named}


def check_names(name: str, args: Mapping[str, Any], factory: Callable[..., Any]) -> None:
    """Compares the arguments' names with the factory's signature.

    Raises:
        UsageError: one is unknown or missing.
    """
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return
    known = parameter_defaults(factory)
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        for key in args:
            if key not in known:
                raise UsageError(unknown_argument(name, key, list(known)))
    missing = [
        key for key, default in known.items() if default is inspect.Parameter.empty and key not in args
    ]
    if missing:
        needed = ", ".join(f"model.args.{key}" for key in missing)
        flags = " ".join(f"--model-arg {key}=VALUE" for key in missing)
        own = ""
        if ":" in name:
            own = "; where one is an object, name what builds the model: --model package.module:factory"
        how = f"give {'it' if len(missing) == 1 else 'them'} as in {flags}"
        raise UsageError(f"{name} needs {needed}; {how}{own}")


def unknown_argument(name: str, key: str, known: Collection[str]) -> str:
    """The sentence about an argument that a model does not take."""
    takes = f"it takes {', '.join(known)}" if known else "it takes none"
    return f"{name} has no argument '{key}'; {did_you_mean(key, known) or takes}"


def first_line(error: BaseException) -> str:
    """An exception as part of a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
