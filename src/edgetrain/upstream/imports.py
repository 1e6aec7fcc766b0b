"""Imports of PyTorch and ExecuTorch without what nobody needs here."""

from __future__ import annotations

from typing import Any, cast

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
