"""What lowering does over and over in PyTorch and ExecuTorch, done once.

Their passes trace a graph again and again, and each time compute the shape of every result anew; with a
dynamic batch that is symbolic algebra, and much of the time that an export takes.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from torch.fx import Node


# What calls are given besides tensors, apart from symbolic lengths, which must not be compared: that would be
# noted as a fact about the batch.
_CONSTANTS = (bool, int, float, complex, str)


@contextmanager
def spared_lowering() -> Iterator[None]:
    """Has ExecuTorch's passes, and those of PyTorch that it runs, work out once what stays as it is.

    - A pass runs every call on fake tensors to learn what it returns (`_ExportPassBase._fx`; in PyTorch
      `_ExportPassBaseDeprecatedDoNotUse._fx`). The old graph says that in the node's `meta["val"]`, as long
      as operator and arguments are the same. What has to be run and returns a tensor like the old one counts
      as the old one, so that all that follows stays the same.
    - An `ExportPass` of no kind, which `SpecPropPass` begins with, copies a graph to learn its values anew.
    - The order of dimensions by their strides (`exir.tensor.dim_order_from_stride`), which makes a class for
      each tensor.
    - A signature's inputs by kind (`ExportGraphSignature.inputs_to_parameters` and its likes), which emitting
      asks for once for each node.
    """
    from executorch.exir import tensor
    from executorch.exir.pass_base import ExportPass, _ExportPassBase
    from torch._export.pass_base import _ExportPassBaseDeprecatedDoNotUse
    from torch.export.graph_signature import ExportGraphSignature

    bases: tuple[Any, ...] = (_ExportPassBase, _ExportPassBaseDeprecatedDoNotUse)
    signature: Any = ExportGraphSignature
    patched: list[tuple[Any, str]] = [
        *((base, "_fx") for base in bases),
        *((base.ExportInterpreter, "run_node") for base in bases),
        (ExportPass, "call"),
        (tensor, "dim_order_from_stride"),
        *((signature, name) for name in _BY_KIND),
    ]
    before = [owner.__dict__.get(name, _MISSING) for owner, name in patched]
    for base, kind_of_value in zip(bases, _traced(), strict=True):
        _keep_values(base, kind_of_value)
    ExportPass.call = _unless_of_no_kind(ExportPass)
    tensor.dim_order_from_stride = _kept_by_numbers(tensor.dim_order_from_stride)
    for name in _BY_KIND:
        setattr(signature, name, _kept_by_inputs(signature.__dict__[name]))
    try:
        yield
    finally:
        for (owner, name), value in zip(patched, before, strict=True):
            if value is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, value)


_MISSING = object()
_BY_KIND = ("inputs_to_parameters", "inputs_to_buffers", "inputs_to_lifted_tensor_constants")


def _unless_of_no_kind(export_pass: Any) -> Callable[[Any, Any], Any]:
    """The pass's `call`, which a pass that changes nothing leaves out where all values are known."""
    from torch.fx.passes.infra.pass_base import PassResult

    original = export_pass.call

    def call(self: Any, module: Any) -> Any:
        known = all("val" in node.meta for node in module.graph.nodes if node.op != "output")
        if type(self) is export_pass and known:
            return PassResult(module, False)
        return original(self, module)

    return call


def _kept_by_numbers(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function of several lengths, each worked out once where they are numbers."""
    kept = functools.cache(function)

    def of(lengths: Any) -> Any:
        return kept(tuple(lengths)) if all(type(n) is int for n in lengths) else function(lengths)

    return of


def _kept_by_inputs(original: property) -> property:
    """A property of a signature, worked out anew once its inputs, or what they stand for, are others."""

    kept: dict[int, tuple[Any, Any, Any]] = {}

    def get(self: Any) -> Any:
        now = [(spec.kind, spec.arg.name, spec.target) for spec in self.input_specs]
        known = kept.get(id(self))
        if known is None or known[1] != now:
            known = kept[id(self)] = self, now, cast(Any, original.fget)(self)
        return known[2]

    return property(get)


def _keep_values(base: Any, kind_of_value: Any) -> None:
    """Changes one of the classes that passes are made from, whose values are of the other class."""
    import torch
    from torch import fx
    from torch.fx import traceback
    from torch.fx.proxy import _COPY_META_FIELDS

    original = base._fx
    # By pass, the node of the old graph that it is at.
    current: dict[int, Node] = {}

    def run_node(self: Any, node: Node) -> Any:
        self.node = node
        current[id(self.callback)] = node
        return fx.Interpreter.run_node(self, node)

    def copied(tracer: Any, kind: str, target: Any, args: Any, kwargs: Any) -> Any:
        """A node of the new graph, where one of the old graph is being copied."""
        name = None
        if isinstance(target, torch._ops.OpOverload):
            name = tracer.graph._target_to_str(target.overloadpacket.__name__)
        try:
            given, named = _each(args, _node, _plain), _each(kwargs, _node, _plain)
        except _NotPlainError:
            return tracer.create_proxy(kind, target, _each(args, _proxy), _each(kwargs, _proxy), name=name)
        made = tracer.graph.create_node(kind, target, given, named, name)
        current = traceback.get_current_meta()
        made.meta.update(
            {field: copy.copy(current[field]) for field in _COPY_META_FIELDS if field in current}
        )
        return tracer.proxy(made)

    def make(self: Any, kind: str, target: Any, args: Any, kwargs: Any, meta: Any) -> Any:
        node = current.get(id(self))
        if kind != "call_function" or node is None or "val" not in node.meta:
            return original(self, kind, target, args, kwargs, meta)
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
        proxy = copied(self.tracer, kind, target, args, kwargs)
        proxy.node.meta.update(meta.data)
        if value is known and "tensor_meta" in node.meta:
            proxy.node.meta["val"] = known
            proxy.node.meta["tensor_meta"] = node.meta["tensor_meta"]
        else:
            self.tracer.set_metadata(proxy.node, value)
        return kind_of_value(value, proxy)

    base._fx, base.ExportInterpreter.run_node = make, run_node


@functools.cache
def _traced() -> tuple[type, ...]:
    """The classes of values in a pass that is running: ExecuTorch's `ProxyValue`, and PyTorch's."""
    from executorch.exir import pass_base
    from torch._export.pass_infra import proxy_value

    return pass_base.ProxyValue, proxy_value.ProxyValue


def _operator(target: Any) -> Any:
    """The ATen operator of an edge operator, `EdgeOpOverload._op`; others as they are."""
    return getattr(target, "_op", target) if type(target).__name__ == "EdgeOpOverload" else target


def _data(value: Any) -> Any:
    return value.data


def _proxy(value: Any) -> Any:
    return value.proxy


def _node(value: Any) -> Any:
    return value.proxy.node


def _as_it_is(value: Any) -> Any:
    return value


class _NotPlainError(Exception):
    """An argument that a tracer has to look at: a module, a tensor, a symbolic length."""


def _plain(value: Any) -> Any:
    """Raises:
    _NotPlainError: it is none of the constants that graphs hold as they are.
    """
    import torch

    if value is None or type(value) in _CONSTANTS:
        return value
    if isinstance(value, (torch.dtype, torch.device, torch.layout, torch.memory_format)):
        return value
    raise _NotPlainError


def _each(structure: Any, of: Callable[[Any], Any], constant: Callable[[Any], Any] = _as_it_is) -> Any:
    """A structure of arguments with `of` in place of each traced value, and `constant` of what else there
    is."""
    if isinstance(structure, _traced()):
        return of(structure)
    if type(structure) in (tuple, list):
        return type(structure)([_each(item, of, constant) for item in structure])
    if isinstance(structure, (tuple, list)):  # immutable lists of torch.fx
        return [_each(item, of, constant) for item in structure]
    if isinstance(structure, Mapping):
        return {name: _each(item, of, constant) for name, item in structure.items()}
    return constant(structure)


def _same(old: Any, new: Any) -> bool:
    """Whether the arguments of a call are the old ones, with the very values that nodes had."""
    from torch.fx import Node

    if isinstance(old, Node):
        return isinstance(new, _traced()) and _data(new) is old.meta.get("val", old)
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
