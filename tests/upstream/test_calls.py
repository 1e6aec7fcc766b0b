"""What PyTorch and ExecuTorch don't promise to keep is used in `upstream/` alone."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

import edgetrain
from edgetrain import upstream

ROOT = Path(__file__).parents[2]
FOLDERS = (Path(edgetrain.__file__).parent, ROOT / "benchmarks")
LIBRARIES = ("torch", "executorch", "torchao", "torchvision")
# Operators are public by whatever name: `aten._log_softmax`.
OPERATORS = ("aten", "prims", "ops", "dim_order_ops")


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def _own(node: ast.Attribute) -> bool:
    """Whether an attribute is one of the class that the code stands in, or an operator."""
    base = node.value
    if isinstance(base, ast.Name):
        return base.id in ("self", "cls", *OPERATORS)
    return isinstance(base, ast.Attribute) and base.attr in OPERATORS


def private_uses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of everything private that is imported from PyTorch or ExecuTorch, or read or passed with
    a leading underscore in a file that imports any of them."""
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    foreign = False
    for node in imports:
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module or ''}.{name}" for name in names] if not node.level else []
        for name in names:
            if name.split(".")[0] in LIBRARIES:
                foreign = True
                if any(_is_private(part) for part in name.split(".")):
                    yield node.lineno, name
    for node in ast.walk(tree) if foreign else ():
        if isinstance(node, ast.Attribute) and _is_private(node.attr) and not _own(node):
            yield node.lineno, node.attr
        elif isinstance(node, ast.keyword) and node.arg is not None and _is_private(node.arg):
            yield node.value.lineno, node.arg


def programs(tree: ast.AST) -> Iterator[ast.AST]:
    """A file, and the programs in it that stand there as text, to be run by another process."""
    yield tree
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "import " in node.value:
            with contextlib.suppress(SyntaxError):
                yield ast.parse(node.value)


def test_private_names_are_used_in_one_package() -> None:
    found = [
        f"{path}:{line} uses {name}"
        for folder in FOLDERS
        for path in sorted(folder.rglob("*.py"))
        if "upstream" not in path.parts
        for tree in programs(ast.parse(path.read_text()))
        for line, name in private_uses(tree)
    ]
    assert not found, "give these a function in upstream/:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("from torch._decomp import core_aten_decompositions", "torch._decomp.core_aten_decompositions"),
        ("def f():\n    import torch.utils._pytree as pytree", "torch.utils._pytree"),
        ("from executorch.extension.pybindings import _C", "executorch.extension.pybindings._C"),
        ("import torch\ntorch.export.export(m)._state_dict", "_state_dict"),
        ("import torch\nnode.target._schema", "_schema"),
        ("from torch.fx import Graph\nmake(Graph(), _check=False)", "_check"),
    ],
)
def test_all_forms_are_seen(source: str, name: str) -> None:
    assert [found for _, found in private_uses(ast.parse(source))] == [name]


def test_programs_in_texts_are_seen() -> None:
    tree = ast.parse('PROBE = """\nfrom torch import _C\nprint(1)\n"""')
    assert [name for part in programs(tree) for _, name in private_uses(part)] == ["torch._C"]


@pytest.mark.parametrize(
    "source",
    [
        "import torch\nclass A:\n    def f(self):\n        return self._kept",
        "import torch\ntorch.ops.aten._log_softmax.default",
        "import torch\naten = torch.ops.aten\naten._convolution",
        "import torch\nnode.__class__",
        "from .rows import _hidden",
    ],
)
def test_what_is_not_private(source: str) -> None:
    assert not list(private_uses(ast.parse(source)))


@pytest.mark.parametrize("library", upstream.CHECKED)
def test_these_are_the_versions_it_was_checked_against(library: str) -> None:
    found = ".".join(version(library).split(".")[:2])
    assert found == upstream.CHECKED[library], "check every function of upstream/, then change CHECKED"
