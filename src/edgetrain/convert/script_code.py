"""The code in a TorchScript file, read as the Python that it nearly is, checked, and written again.

What PyTorch gets to parse is what is written here. So it doesn't matter where its reading of blanks, comments
or escapes differs from Python's. Every call is of an operator that models have, or of something that is
defined in the file.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping

from ..upstream.operators import registered_operator_names
from .foreign_operators import is_script_operator

# Functions of the language; none runs anything but what it is given.
_BUILTINS = {
    "annotate", "unchecked_cast", "uninitialized", "isinstance", "int", "float", "bool", "complex", "str",
    "range", "len", "list", "tuple", "dict", "enumerate", "zip", "min", "max", "abs", "print", "sum", "all",
    "any", "sorted", "divmod", "round", "hex", "oct", "bin", "ord", "chr", "rangelist", "reversed", "pow",
    "unchecked_unwrap_optional",
}  # fmt: skip
_ROOTS = {"torch", "ops", "CONSTANTS", "__torch__"}
_BASES = {"Module", "NamedTuple", "Interface", "ModuleInterface", "Enum"}
_NODES = (
    ast.Module, ast.ClassDef, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Assign, ast.AnnAssign,
    ast.AugAssign, ast.For, ast.While, ast.If, ast.IfExp, ast.Expr, ast.Pass, ast.Break, ast.Continue,
    ast.With, ast.withitem, ast.Assert, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call,
    ast.keyword, ast.Attribute, ast.Subscript, ast.Slice, ast.Name, ast.Constant, ast.List, ast.Tuple,
    ast.Dict, ast.boolop, ast.operator, ast.unaryop, ast.cmpop, ast.expr_context,
)  # fmt: skip
# How many parts there are in the names of these: `torch.add`, `ops.prim.min`, `CONSTANTS.c0`.
_PARTS = {"torch": 2, "ops": 3, "CONSTANTS": 2}
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_TEXT = re.compile(r"'@(\d+)@'")
_LONGEST = 64 * 2**20


class UnsafeScriptError(ValueError):
    """Code that a model has no need for; it says which."""


def rewritten_code(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The code of a TorchScript file, by the names of its records.

    Raises:
        UnsafeScriptError: it calls something that no model has, or can't be read.
    """
    trees = {name: _parsed(name, content) for name, content in files.items()}
    defined = _definitions(trees.values())
    return {name: _Writer(name, defined).written(tree) for name, tree in trees.items()}


def _parsed(name: str, content: bytes) -> ast.Module:
    if len(content) > _LONGEST:
        raise UnsafeScriptError(f"its code in {name} is longer than that of any model")
    try:
        # Each byte is a character, so that texts are written again byte by byte.
        return ast.parse(content.decode("latin-1"))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnsafeScriptError(f"its code in {name} can't be read ({error})") from error


def _definitions(trees: Iterable[ast.Module]) -> set[str]:
    """Names of all methods and functions; none may be that of another operator, which a call could mean."""
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    for name in names:
        if name in registered_operator_names() and not is_script_operator("aten", name):
            raise UnsafeScriptError(f"it defines {name!r:.80}, which is an operator of PyTorch")
    return names


class _Writer:
    """Checks the code of one record and writes it again."""

    def __init__(self, name: str, defined: set[str]) -> None:
        self._name = name
        self._defined = defined
        self._bound: set[str] = set()
        self._whole: set[int] = set()
        # What stands for functions of the file, by the calls it holds for.
        self._aliases: dict[int, set[str]] = {}

    def written(self, tree: ast.Module) -> bytes:
        """The code with texts as PyTorch reads them."""
        texts: list[str] = []
        nodes = list(ast.walk(tree))
        self._bound = {name for node in nodes for name in _bound_by(node)}
        self._whole = {id(base) for node in nodes if (base := _base_of_path(node)) is not None}
        for function in (node for node in nodes if isinstance(node, ast.FunctionDef)):
            aliases = _aliases(function)
            self._aliases.update({id(node): aliases for node in ast.walk(function) if _is_call(node)})
        for node in nodes:
            self._check(node)
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
                node.value = f"@{len(texts) - 1}@"
        try:
            code = ast.unparse(tree)
        except (RecursionError, ValueError) as error:
            raise UnsafeScriptError(f"its code in {self._name} can't be read ({error})") from error
        return _TEXT.sub(lambda match: _quoted(texts[int(match[1])]), code).encode("ascii") + b"\n"

    def _check(self, node: ast.AST) -> None:
        if not isinstance(node, _NODES):
            raise self._unsafe(f"has a {type(node).__name__}")
        for name in _names_in(node):
            if not _IDENTIFIER.fullmatch(name):
                raise self._unsafe(f"has the name {name!r:.80}")
        if isinstance(node, ast.ClassDef):
            bases = [base.id if isinstance(base, ast.Name) else "" for base in node.bases]
            if not set(bases) <= _BASES or node.name in _ROOTS or node.keywords or node.decorator_list:
                raise self._unsafe(f"has a class {node.name!r:.80} of a kind that no model has")
        elif isinstance(node, ast.FunctionDef):
            self._check_function(node)
        elif isinstance(node, ast.Constant):
            if not isinstance(node.value, str | int | float | complex | bool | None):
                raise self._unsafe("has a value that no model has")
        elif isinstance(node, ast.Expr) and not isinstance(node.value, ast.Call):
            raise self._unsafe("has a statement without effect")
        elif isinstance(node, ast.Call):
            self._check_call(node)
        elif isinstance(node, ast.Attribute):
            self._check_attribute(node)
        elif isinstance(node, ast.Name) and node.id in _ROOTS and id(node) not in self._whole:
            # Under another name, anything could be called of it.
            raise self._unsafe(f"has {node.id!r} without what it takes of it")

    def _check_function(self, node: ast.FunctionDef) -> None:
        arguments = node.args
        if node.decorator_list or arguments.vararg or arguments.kwarg or arguments.posonlyargs:
            raise self._unsafe(f"has a function {node.name!r:.80} of a kind that no model has")

    def _check_call(self, node: ast.Call) -> None:
        called = node.func
        if any(keyword.arg is None for keyword in node.keywords):
            raise self._unsafe("calls something with arguments of no name")
        if isinstance(called, ast.Name):
            if called.id == "getattr":
                if not (
                    len(node.args) == 2
                    and isinstance(node.args[0], ast.Name | ast.Attribute | ast.Call)
                    and isinstance(node.args[1], ast.Constant)
                    and isinstance(node.args[1].value, str)
                    and _root(node.args[0]) not in _ROOTS
                ):
                    raise self._unsafe("looks something up by a name that isn't written there")
            elif called.id in self._aliases.get(id(node), ()):
                return
            elif called.id not in _BUILTINS or called.id in self._bound:
                raise self._unsafe(f"calls {called.id!r:.80}, which no model does")
        elif isinstance(called, ast.Attribute):
            # What begins with these is looked at as a whole, called or not.
            if _root(called) in ("torch", "ops"):
                return
            is_known = called.attr in self._defined or _is_class(called)
            if not is_known and not is_script_operator("aten", called.attr):
                raise self._unsafe(f"calls {called.attr!r:.80}, which no model does")
        else:
            raise self._unsafe("calls what another call returned")

    def _check_attribute(self, node: ast.Attribute) -> None:
        path = _path(node)
        if path[:1] == ["torch"] and len(path) == 2:
            if not is_script_operator("aten", path[1]):
                raise self._unsafe(f"calls torch.{path[1]:.80}, which no model does")
        elif path[:1] == ["ops"] and len(path) == 3:
            if not is_script_operator(path[1], path[2]):
                raise self._unsafe(f"calls {path[1]:.40}.{path[2]:.80}, which no model does")
        elif len(path) > _PARTS.get(path[0] if path else "", len(path)):
            raise self._unsafe(f"has {'.'.join(path)!r:.80}")
        elif path[:3] == ["__torch__", "torch", "classes"]:
            raise self._unsafe(f"has {'.'.join(path)!r:.80}, a class that isn't written in it")

    def _unsafe(self, what: str) -> UnsafeScriptError:
        return UnsafeScriptError(f"its code ({self._name}) {what}")


def _path(node: ast.AST) -> list[str]:
    """`torch.add` as ["torch", "add"]; [] where it doesn't begin with a name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else []


def _is_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call)


def _aliases(function: ast.FunctionDef) -> set[str]:
    """Names that stand for a function of the file throughout another: `_0 = __torch__.functional.relu`."""
    given: dict[str, bool] = {}
    assigned = {
        id(node.targets[0])
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and _root(node.value) == "__torch__"
    }
    for node in ast.walk(function):
        for name in _bound_by(node):
            given[name] = given.get(name, True) and id(node) in assigned
    return {name for name, is_alias in given.items() if is_alias}


def _base_of_path(node: ast.AST) -> ast.Name | None:
    """Where a whole name of an operator begins, as in `torch.add`."""
    path = _path(node)
    if path[:1] == ["__torch__"] or (path and len(path) == _PARTS.get(path[0])):
        while isinstance(node, ast.Attribute):
            node = node.value
        return node if isinstance(node, ast.Name) and len(path) > 1 else None
    return None


def _bound_by(node: ast.AST) -> list[str]:
    """Names that a node gives to something."""
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        return [node.id]
    return _names_in(node) if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.arg) else []


def _root(node: ast.AST) -> str:
    return next(iter(_path(node)), "")


def _is_class(called: ast.Attribute) -> bool:
    """An object of a class of the file, as in `__torch__.Net.Output(x, y)`; whose names PyTorch looks for in
    the file alone."""
    return _root(called) == "__torch__"


def _names_in(node: ast.AST) -> list[str]:
    """All names that a node has itself."""
    found = [getattr(node, key, None) for key in ("id", "attr", "arg", "name")]
    return [name for name in found if isinstance(name, str)]


def _quoted(text: str) -> str:
    """A text as PyTorch reads it: bytes that aren't letters in octal."""
    return '"' + "".join(c if " " <= c <= "~" and c not in '"\\' else f"\\{ord(c):03o}" for c in text) + '"'
