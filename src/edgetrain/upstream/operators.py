"""Operators of PyTorch, and what is run of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any


def is_operator(target: Any) -> bool:
    """Whether a node's target is an ATen operator: `torch._ops.OpOverload`."""
    from torch._ops import OpOverload

    return isinstance(target, OpOverload)


def is_mutable(target: Any) -> bool:
    """Whether an operator writes into its arguments: its `_schema.is_mutable`."""
    schema = getattr(target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def returns_alias(target: Any) -> bool:
    """Whether an operator's result lies in an argument's memory: `alias_info` of its `_schema.returns`."""
    return any(value.alias_info is not None for value in target._schema.returns)


def schema_arguments(target: Any) -> list[Any]:
    """An ATen operator's arguments, with name, type and what is written: its `_schema.arguments`."""
    return list(target._schema.arguments)


def schema_returns(target: Any) -> list[Any]:
    """What an ATen operator returns, with types: its `_schema.returns`."""
    return list(target._schema.returns)


def aten_operator(name: str, overload: str) -> Any:
    """The ATen operator of a name and an overload: a `torch._ops.OpOverload`; None if there is none."""
    import torch
    from torch._ops import OpOverloadPacket

    packet = getattr(torch.ops.aten, name, None)
    if not isinstance(packet, OpOverloadPacket) or overload not in packet.overloads():
        return None
    return getattr(packet, overload)


@contextmanager
def operators_run_by(run: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]) -> Iterator[None]:
    """While it lasts, `run(operator, args, kwargs)` is called below autograd for each ATen operator. Those
    that it calls run as they are: a `torch.utils._python_dispatch.TorchDispatchMode`."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Mode(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            return run(func, args, kwargs or {})

    with Mode():
        yield


@contextmanager
def traced_as(functions: Mapping[Any, Callable[..., Any]]) -> Iterator[None]:
    """While it lasts, tracing learns what some ATen operators return from other functions than PyTorch's
    rules in Python, which for recurrent layers run all steps: `py_kernels` of a `torch._ops.OpOverload`, and
    its `_dispatch_cache`. A function returns `NotImplemented` for what it leaves to these rules."""

    def instead(function: Callable[..., Any], rule: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            found = function(*args, **kwargs)
            return rule(*args, **kwargs) if found is NotImplemented else found

        return run

    rules = {operator: dict(operator.py_kernels) for operator in functions}
    try:
        for operator, function in functions.items():
            operator.py_kernels.update({k: instead(function, rule) for k, rule in rules[operator].items()})
            operator._dispatch_cache.clear()
        yield
    finally:
        for operator, kept in rules.items():
            operator.py_kernels.update(kept)
            operator._dispatch_cache.clear()


@lru_cache(maxsize=1)
def registered_operator_names() -> frozenset[str]:
    """All ATen operators, without overloads, as in `add_`: `torch._C._jit_get_all_schemas`."""
    import torch

    schemas = torch._C._jit_get_all_schemas()
    return frozenset(s.name.removeprefix("aten::") for s in schemas if s.name.startswith("aten::"))


@lru_cache(maxsize=1)
def core_decompositions() -> Mapping[Any, Callable[..., Any]]:
    """PyTorch's rules from all operators to the core ones: `torch._decomp.core_aten_decompositions`."""
    from torch._decomp import core_aten_decompositions

    return dict(core_aten_decompositions())
