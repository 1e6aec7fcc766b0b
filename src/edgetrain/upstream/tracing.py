"""What PyTorch notes down while it traces graphs, and nobody reads here."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

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
