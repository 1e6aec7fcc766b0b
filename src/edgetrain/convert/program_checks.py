"""What in a .pt2 could run code, found before torch.export.load does.

That function unpickles whatever plain data can't be, evaluates sizes written as text, and looks up operators
by attributes of the module `torch`. Here a file is let through if it needs none of that.
"""

from __future__ import annotations

import ast
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import torch

from ..errors import InputError
from .archive import Archive

_OPERATOR = re.compile(
    r"torch\.ops\.\w+\.\w+\.\w+|_operator\.(add|sub|mul|floordiv|truediv|mod|neg|pow|getitem|eq|ne|lt|le|gt|ge|and_|or_)"
    r"|torch\.sym_\w+|math\.(ceil|floor|trunc)|torch\._higher_order_ops\.\w+|torch\.ops\.higher_order\.\w+"
)
_SAFE_OPERATORS = ("aten", "higher_order", "quantized_decomposed", "prims")
_SYMBOL = re.compile(r"(?:s|u|zuf|zf)\d+")
# Functions in sizes such as `Mul(Integer(2), Symbol('s27', positive=True))`.
_FUNCTIONS = {
    "Symbol", "Integer", "Rational", "Float", "Add", "Mul", "Pow", "floor", "ceiling",
    "FloorDiv", "CleanDiv", "CeilDiv", "CeilToInt", "FloorToInt", "TruncToInt", "Mod", "PythonMod",
    "ModularIndexing", "Max", "Min", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "And", "Or", "Not", "Where",
    "PowByNatural", "IntTrueDiv", "FloatTrueDiv", "ToFloat", "Identity", "LShift", "RShift",
}  # fmt: skip
_CONSTANTS = {"true", "false", "oo", "int_oo"}
_PLAIN = (
    ast.Expression, ast.Load, ast.BinOp, ast.UnaryOp, ast.Compare, ast.operator, ast.unaryop, ast.cmpop,
    ast.keyword,
)  # fmt: skip


def check_program(archive: Archive) -> None:
    """Lets a .pt2 through whose content is data.

    Raises:
        InputError: something in it could run code.
    """
    for name in archive.records:
        if name.startswith("data/aotinductor/"):
            raise InputError(
                f"{archive.path} holds compiled code ({name}); it is refused, with --trust-pickle too"
            )
        if name.startswith("data/sample_inputs/") and name.endswith(".pt"):
            _check_plain(archive, name)
        elif name.endswith(".json"):
            _check_json(archive, name)


def _check_plain(archive: Archive, name: str) -> None:
    content = archive.read(name)
    if not content:
        return
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except Exception as error:  # unpickling raises whatever it runs into
        raise _untrusted(archive, f"its example inputs ({name}) are a pickle of Python objects") from error


def _check_json(archive: Archive, name: str) -> None:
    try:
        document = json.loads(archive.read(name))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{archive.path} is damaged: {name} is no JSON") from error
    for key, value in _items(document):
        if key == "use_pickle" and value:
            raise _untrusted(archive, f"it has pickled tensors ({name})")
        if key == "expr_str" and not _is_size(str(value)):
            raise _untrusted(archive, f"it has a size that is no number or formula ({str(value)[:40]!r})")
        if key == "target" and isinstance(value, str) and not _is_target(value):
            raise _untrusted(archive, f"it calls {value!r}, which is no operator of PyTorch")


def _items(node: Any) -> Iterator[tuple[str, Any]]:
    """All keys with their values, at any depth; keys of symbol tables are sizes as well."""
    stack = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, dict):
            for key, value in current.items():
                yield key, value
                if key in ("range_constraints", "symbol_values") and isinstance(value, dict):
                    yield from (("expr_str", symbol) for symbol in value)
                stack.append(value)
        elif isinstance(current, list):
            stack += current


def _is_size(text: str) -> bool:
    """Whether a formula has nothing in it but numbers, symbols and functions on them."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return all(_is_part_of_size(node, id(node) in functions) for node in ast.walk(tree))


def _is_part_of_size(node: ast.AST, called: bool) -> bool:
    if isinstance(node, ast.Name):
        return node.id in _FUNCTIONS if called else bool(_SYMBOL.fullmatch(node.id)) or node.id in _CONSTANTS
    if isinstance(node, ast.Constant):
        return _SYMBOL.fullmatch(node.value) is not None if isinstance(node.value, str) else True
    return isinstance(node, (*_PLAIN, ast.Call)) and not (called and isinstance(node, ast.Call))


def _is_target(text: str) -> bool:
    """Operators, names of tensors, and nothing that is looked up elsewhere."""
    if not text.startswith(("torch", "_operator", "math", "#")):
        return True
    if not _OPERATOR.fullmatch(text):
        return False
    return not text.startswith("torch.ops.") or text.split(".")[2] in _SAFE_OPERATORS


def _untrusted(archive: Archive, what: str) -> InputError:
    return InputError(
        f"{archive.path} may run code when it is loaded: {what}; if you trust where it comes from, add "
        "--trust-pickle"
    )
