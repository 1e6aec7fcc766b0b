"""Names of layers and parameters, and patterns of them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from ..errors import UsageError


def layer_of(parameter: str) -> str:
    """The name of the layer that owns a parameter; empty where that is the model itself."""
    return parameter.rpartition(".")[0]


def own_name(layer: str, parameter: str) -> str:
    """The name in the model of a parameter of a layer."""
    return f"{layer}.{parameter}" if layer else parameter


def matching(pattern: str, parameters: Sequence[str], *, of_layers: bool, origin: str) -> list[str]:
    """Those of the parameters that a pattern fits.

    Args:
        of_layers: or whose layer it fits.
        origin: who has the pattern, for the message.
    Raises:
        UsageError: it fits none.
    """
    found = [
        name
        for name in parameters
        if fnmatchcase(name, pattern) or (of_layers and fnmatchcase(layer_of(name), pattern))
    ]
    if found:
        return found
    layers = {layer_of(name) for name in parameters} - {""}
    known = {*parameters, *(f"{layer}.*" for layer in layers), *(layers if of_layers else ())}
    near = difflib.get_close_matches(pattern, sorted(known), n=1, cutoff=0.4)
    hint = f"did you mean '{near[0]}'?" if near else f"the first parameter is {parameters[0]}"
    what = "layer or parameter" if of_layers else "parameter"
    raise UsageError(f"{origin} '{pattern}' matches no {what} of the model; {hint}")
