"""What lowering does over and over in PyTorch and ExecuTorch, done once; a part of `upstream.py`.

Their passes trace a graph again and again, and each time compute the shape of every result anew; with a
dynamic batch that is symbolic algebra, and much of the time that an export takes.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from torch.fx import Node


# What calls are given besides tensors, apart from symbolic lengths, which must not be compared: that would be
# noted as a fact about the batch.
_CONSTANTS = (bool, int, float, complex, str)


_SHAPES = "torch._meta_registrations"


def import_torch() -> None:
    """Imports `torch` without what tells the shapes of results where there are no numbers: that takes a third
    of the time, and reading files doesn't need it. Before anything is built or captured comes
    `complete_torch`."""
    import sys
    from types import ModuleType

    if "torch" in sys.modules:
        return
    sys.modules[_SHAPES] = ModuleType(_SHAPES)
    try:
        import torch  # noqa: F401
    finally:
        del sys.modules[_SHAPES]


def complete_torch() -> None:
    """Imports what `import_torch` left out."""
    import importlib

    importlib.import_module(_SHAPES)


_UNUSED_PASS = "torch.export._remove_auto_functionalized_pass"


def import_lowering() -> None:
    """Imports `executorch.exir` without what takes a third of the time and is not needed.

    Its list of operators (`exir.dialects.edge._ops`) is read by PyYAML's parser, which is written in C, and
    not by ruamel.yaml's. A pass for custom operators that write into their arguments (`torch.export.
    _remove_auto_functionalized_pass`), which brings a compiler, is imported once a program has such a call.
    """
    import sys
    from types import ModuleType

    import yaml
    from ruamel import yaml as ruamel

    if "executorch.exir" in sys.modules:
        return
    loader = getattr(yaml, "CSafeLoader", None)

    class Parser:
        def __init__(self, typ: str = "safe") -> None:
            self.original = original(typ=typ)

        def load(self, text: Any) -> Any:
            return self.original.load(text) if loader is None else yaml.load(text, loader)

    original, others = ruamel.YAML, cast(Any, ruamel)
    if _UNUSED_PASS not in sys.modules:
        late: Any = ModuleType(_UNUSED_PASS)
        late.unsafe_remove_auto_functionalized_pass = _without_auto_functionalized
        sys.modules[_UNUSED_PASS] = late
    others.YAML = Parser
    try:
        import executorch.exir  # noqa: F401
    finally:
        others.YAML = original
        if getattr(sys.modules[_UNUSED_PASS], "__spec__", None) is None:
            del sys.modules[_UNUSED_PASS]


def _without_auto_functionalized(program: Any) -> Any:
    """What `unsafe_remove_auto_functionalized_pass` makes of a program: the same, mostly."""
    import importlib

    found = any(
        str(node.target).startswith("auto_functionalized")
        for module in program.graph_module.modules()
        for node in getattr(getattr(module, "graph", None), "nodes", ())
    )
    if not found:
        return program
    return importlib.import_module(_UNUSED_PASS).unsafe_remove_auto_functionalized_pass(program)


# Objects made between two looks of the garbage collector, and how often it looks at all it has seen before.
_COLLECTED = (100_000, 20, 20)


@contextmanager
def plain_tracing() -> Iterator[None]:
    """Has PyTorch trace and change graphs without what nobody reads here.

    Left out are where in Python a node was made (`torch.fx.config.do_not_emit_stack_traces`), the history of
    its copies in `meta["from_node"]` (`torch.fx.traceback.NodeSource`), and the Python code of graphs that
    nobody runs (`GraphModule.recompile`). The operators that are made of others are looked up once
    (`torch._export.utils._materialize_cpp_cia_ops`). The garbage collector looks less often: what these
    graphs are made of lives long, and there is much of it.
    """
    from torch._export import utils
    from torch.fx import GraphModule, config, traceback

    class WithoutHistory(traceback.NodeSource):
        def __init__(self, node: Any, pass_name: str = "", action: Any = None) -> None:
            super().__init__(None, pass_name, action)
            if node is not None:
                self.node_info = self.NodeInfo(node.name, str(node.target), id(node.graph))

    patched: list[tuple[Any, str, Any]] = [
        (config, "do_not_emit_stack_traces", True),
        (traceback, "NodeSource", WithoutHistory),
        (GraphModule, "recompile", _recompiled_when_run(GraphModule.recompile)),
        (utils, "_materialize_cpp_cia_ops", functools.cache(utils._materialize_cpp_cia_ops)),
    ]
    before = [getattr(owner, name) for owner, name, _ in patched]
    threshold = gc.get_threshold()
    for owner, name, value in patched:
        setattr(owner, name, value)
    gc.set_threshold(*_COLLECTED)
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        for (owner, name, _), value in zip(patched, before, strict=True):
            setattr(owner, name, value)


def _recompiled_when_run(recompile: Callable[[Any], Any]) -> Callable[[Any], None]:
    """A `GraphModule.recompile` that writes and compiles a graph's code once somebody asks for its `forward`
    or `_code`. What it sets besides is set at once: `_in_spec` and `_out_spec`. Every graph module has a
    class of its own."""

    class Forward:
        def __get__(self, module: Any, kind: Any) -> Any:
            if module is None:
                return self
            recompile(module)
            return module.forward

    def code(self: Any) -> Any:
        if "_code" not in self.__dict__:
            recompile(self)
        return self.__dict__["_code"]

    def keep_code(self: Any, text: str) -> None:
        self.__dict__["_code"] = text

    def later(self: Any) -> None:
        info = getattr(self._graph._codegen, "pytree_info", None)
        if info is not None:
            self._in_spec, self._out_spec = info.in_spec, info.out_spec
        self.__dict__.pop("_code", None)
        kind: Any = type(self)
        kind.forward, kind._code = Forward(), property(code, keep_code)

    return later


@contextmanager
def kept_values() -> Iterator[None]:
    """Has the passes of ExecuTorch, and those of PyTorch that it runs, keep the value of a call that they
    copy as it is.

    A pass runs every call on fake tensors to learn what it returns (`_ExportPassBase._fx`; in PyTorch
    `_ExportPassBaseDeprecatedDoNotUse._fx`). The old graph says that in the node's `meta["val"]`, as long as
    operator and arguments are the same. What has to be run and returns a tensor like the old one counts as
    the old one, so that all that follows stays the same.
    """
    from executorch.exir.pass_base import _ExportPassBase
    from torch._export.pass_base import _ExportPassBaseDeprecatedDoNotUse

    bases: tuple[Any, ...] = (_ExportPassBase, _ExportPassBaseDeprecatedDoNotUse)
    before = [(base._fx, base.ExportInterpreter.run_node) for base in bases]
    for base, kind_of_value in zip(bases, _traced(), strict=True):
        _keep_values(base, kind_of_value)
    try:
        yield
    finally:
        for base, (make, run_node) in zip(bases, before, strict=True):
            base._fx, base.ExportInterpreter.run_node = make, run_node


def _keep_values(base: Any, kind_of_value: Any) -> None:
    """Changes one of the classes that passes are made from, whose values are of the other class."""
    import torch
    from torch import fx

    original = base._fx
    # By pass, the node of the old graph that it is at.
    current: dict[int, Node] = {}

    def run_node(self: Any, node: Node) -> Any:
        self.node = node
        current[id(self.callback)] = node
        return fx.Interpreter.run_node(self, node)

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


def _each(structure: Any, of: Callable[[Any], Any]) -> Any:
    """A structure of arguments with `of` in place of each traced value."""
    if isinstance(structure, _traced()):
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
