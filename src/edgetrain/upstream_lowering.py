"""What lowering does over and over in PyTorch and ExecuTorch, done once; a part of `upstream.py`.

Their passes trace a graph again and again, and each time compute the shape of every result anew; with a
dynamic batch that is symbolic algebra, and much of the time that an export takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.fx import Node


# What calls are given besides tensors, apart from symbolic lengths, which must not be compared: that would be
# noted as a fact about the batch.
_CONSTANTS = (bool, int, float, complex, str)


@contextmanager
def kept_values() -> Iterator[None]:
    """Has ExecuTorch's passes keep the value of a call that they copy as it is.

    A pass runs every call on fake tensors to learn what it returns (`_ExportPassBase._fx`). The old graph
    says that in the node's `meta["val"]`, as long as operator and arguments are the same. What has to be run
    and returns a tensor like the old one counts as the old one, so that all that follows stays the same.
    """
    import torch
    from executorch.exir import pass_base
    from torch import fx

    base = pass_base._ExportPassBase
    interpreter = base.ExportInterpreter
    original_fx, original_run_node = base._fx, interpreter.run_node
    # By pass, the node of the old graph that it is at.
    current: dict[int, Node] = {}

    def run_node(self: Any, node: Node) -> Any:
        self.node = node
        current[id(self.callback)] = node
        return fx.Interpreter.run_node(self, node)

    def make(self: Any, kind: str, target: Any, args: Any, kwargs: Any, meta: Any) -> Any:
        node = current.get(id(self))
        if kind != "call_function" or node is None or "val" not in node.meta:
            return original_fx(self, kind, target, args, kwargs, meta)
        known = node.meta["val"]
        if (
            _operator(target) is _operator(node.target)
            and _same(node.args, args)
            and _same(node.kwargs, kwargs)
        ):
            value = known
        else:
            data, named = _each(args, _data), _each(kwargs, _data)
            value = getattr(self.interpreter, kind)(target, data, named)
            if _alike(value, known):
                value = known
        name = None
        if isinstance(target, torch._ops.OpOverload):
            name = self.tracer.graph._target_to_str(target.overloadpacket.__name__)
        proxy = self.tracer.create_proxy(kind, target, _each(args, _proxy), _each(kwargs, _proxy), name=name)
        proxy.node.meta.update(meta.data)
        if value is known and "tensor_meta" in node.meta:
            proxy.node.meta["val"] = known
            proxy.node.meta["tensor_meta"] = node.meta["tensor_meta"]
        else:
            self.tracer.set_metadata(proxy.node, value)
        return pass_base.ProxyValue(value, proxy)

    base._fx, interpreter.run_node = make, run_node
    try:
        yield
    finally:
        base._fx, interpreter.run_node = original_fx, original_run_node


def _operator(target: Any) -> Any:
    """The ATen operator of an edge operator, `EdgeOpOverload._op`; others as they are."""
    return getattr(target, "_op", target) if type(target).__name__ == "EdgeOpOverload" else target


def _data(value: Any) -> Any:
    return value.data


def _proxy(value: Any) -> Any:
    return value.proxy


def _each(structure: Any, of: Callable[[Any], Any]) -> Any:
    """A structure of arguments with `of` in place of each traced value."""
    from executorch.exir.pass_base import ProxyValue

    if isinstance(structure, ProxyValue):
        return of(structure)
    if type(structure) in (tuple, list):
        return type(structure)([_each(item, of) for item in structure])
    if isinstance(structure, (tuple, list)):  # immutable lists of torch.fx
        return [_each(item, of) for item in structure]
    if isinstance(structure, Mapping):
        return {name: _each(item, of) for name, item in structure.items()}
    return structure


def _same(old: Any, new: Any) -> bool:
    """Whether the arguments of a call are the old ones, with the very values that nodes had."""
    from executorch.exir.pass_base import ProxyValue
    from torch.fx import Node

    if isinstance(old, Node):
        return isinstance(new, ProxyValue) and new.data is old.meta.get("val", old)
    if isinstance(old, (tuple, list)):
        return (
            isinstance(new, (tuple, list))
            and len(old) == len(new)
            and all(_same(a, b) for a, b in zip(old, new, strict=True))
        )
    if isinstance(old, Mapping):
        return (
            isinstance(new, Mapping) and old.keys() == new.keys() and all(_same(old[n], new[n]) for n in old)
        )
    return old is new or (type(old) is type(new) and isinstance(old, _CONSTANTS) and old == new)


def _alike(new: Any, old: Any) -> bool:
    """Whether two fake tensors, or several, tell the same."""
    import torch

    if isinstance(new, (tuple, list)):
        return (
            isinstance(old, (tuple, list))
            and len(new) == len(old)
            and all(_alike(a, b) for a, b in zip(new, old, strict=True))
        )
    if new is None or old is None:
        return new is old
    if not isinstance(new, torch.Tensor) or not isinstance(old, torch.Tensor):
        return False
    return (
        type(new) is type(old)
        and new.dtype == old.dtype
        and new.device == old.device
        and new.layout == old.layout
        and new.requires_grad == old.requires_grad
        and getattr(new, "constant", None) is getattr(old, "constant", None)
        and _lengths(new) == _lengths(old)
    )


def _lengths(tensor: Any) -> tuple[object, ...]:
    """Shape and strides, symbolic ones as their expressions."""
    import torch

    return tuple(
        length.node.expr if isinstance(length, torch.SymInt) else length
        for length in (*tensor.shape, *tensor.stride())
    )
