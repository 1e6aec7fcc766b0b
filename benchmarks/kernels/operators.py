"""From a call of the runtime to the same call in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from edgetrain.upstream.operators import schema_arguments

from ..native_build import Out
from .calls import Call, In


def torch_operator(operator: str) -> Callable[..., Any] | None:
    """PyTorch's functional operator, to be called with the names of the schema; None where it has none."""
    out = _overload(operator)
    if out is None:
        return None
    wanted = {(a.name, str(a.type)) for a in schema_arguments(out) if not a.is_out and _counts(a.name)}
    candidates = []
    for name in out.overloadpacket.overloads():
        arguments = schema_arguments(getattr(out.overloadpacket, name))
        found = {(a.name, str(a.type)) for a in arguments}
        changes = any(a.alias_info is not None and a.alias_info.is_write for a in arguments)
        if wanted <= found and not changes:
            candidates.append((len(found), name))
    return getattr(out.overloadpacket, min(candidates)[1]) if candidates else None


def argument_names(operator: str, count: int) -> list[str]:
    """Of the arguments that are no outputs."""
    out = _overload(operator)
    if out is None:
        return ["self", "non_blocking", "dim_order"][:count]
    return [a.name for a in schema_arguments(out) if not a.is_out]


def make_arguments(call: Call) -> dict[str, Any]:
    """Random tensors for a call, and its other arguments, by name."""
    given = [argument for argument in call.arguments if not isinstance(argument, Out)]
    named = dict(zip(argument_names(call.operator, len(given)), given, strict=True))
    generator = torch.Generator().manual_seed(0)
    return {name: _made(value, name, named, generator) for name, value in named.items()}


def torch_call(call: Call, arguments: dict[str, Any]) -> Callable[[], Any] | None:
    """The same in PyTorch, ready to be called again and again."""
    if call.operator.startswith("dim_order_ops::"):  # ExecuTorch's own, for copies
        return partial(arguments["self"].to, call.outputs[0].dtype, copy=True)
    function = torch_operator(call.operator)
    if function is None:
        return None
    keywords = {name: value for name, value in arguments.items() if _counts(name)}
    return lambda: function(**keywords)


def _counts(name: str) -> bool:
    # All tensors here are contiguous.
    return name != "memory_format"


def _overload(operator: str) -> Any:
    namespace, _, name = operator.partition("::")
    packet, _, overload = name.partition(".")
    if namespace != "aten":
        return None
    return getattr(getattr(torch.ops.aten, packet, None), overload or "default", None)


def _made(value: Any, name: str, named: dict[str, Any], generator: torch.Generator) -> Any:
    if isinstance(value, tuple):
        return [_made(item, name, named, generator) for item in value]
    if not isinstance(value, In):
        return value
    if value.dtype == torch.float32:
        # Variances and the like have to be positive; for all else it doesn't matter.
        return torch.rand(value.size, generator=generator)
    if value.dtype == torch.bool:
        return torch.rand(value.size, generator=generator) < 0.5
    most = _places(named) if name in ("index", "indices") else 2
    return _integers(value.size, most, generator)


def _integers(size: tuple[int, ...], most: int, generator: torch.Generator) -> Tensor:
    return torch.randint(0, most, size, generator=generator)


def _places(named: dict[str, Any]) -> int:
    """How many places an index may name."""
    if "dim" in named:  # gather, scatter
        return named["self"].size[named["dim"]]
    if "kernel_size" in named:  # within a plane of a pool
        return named["self"].size[-1] * named["self"].size[-2]
    return named["weight"].size[0]  # embedding
