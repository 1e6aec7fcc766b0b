"""Sizes written as text, such as `Mul(Integer(2), Symbol('s27', positive=True))`, which PyTorch evaluates."""

from __future__ import annotations

import ast
import re

_SYMBOL = re.compile(r"(?:s|u|zuf|zf)\d+")
_FUNCTIONS = {
    "Symbol", "Integer", "Rational", "Float", "Add", "Mul", "Pow", "floor", "ceiling",
    "FloorDiv", "CleanDiv", "CeilDiv", "CeilToInt", "FloorToInt", "TruncToInt", "Mod", "PythonMod",
    "ModularIndexing", "Max", "Min", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "And", "Or", "Not", "Where",
    "PowByNatural", "IntTrueDiv", "FloatTrueDiv", "ToFloat", "Identity", "LShift", "RShift",
}  # fmt: skip
_CONSTANTS = {"true", "false", "oo", "int_oo"}
# What `Symbol` and `Integer` are told about their values.
_ASSUMPTIONS = {"positive", "integer", "nonnegative", "negative", "real", "finite", "evaluate"}
_OPERATORS = (
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.USub, ast.UAdd,
    ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.BitAnd, ast.BitOr, ast.Invert,
)  # fmt: skip
_PLAIN = (ast.Expression, ast.Load, ast.BinOp, ast.UnaryOp, ast.Compare, *_OPERATORS)
_LONGEST = 2000
_LARGEST = 2**64


def is_size(text: str) -> bool:
    """Whether a formula has nothing in it but numbers, symbols and functions on them, and is quickly
    computed: nothing in it grows faster than a product."""
    if len(text) > _LONGEST or not text.isascii():
        return False
    try:
        tree = ast.parse(text, mode="eval")
        functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        return all(_is_part(node, id(node) in functions) for node in ast.walk(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _is_part(node: ast.AST, called: bool) -> bool:
    if isinstance(node, ast.Name):
        return node.id in _FUNCTIONS if called else bool(_SYMBOL.fullmatch(node.id)) or node.id in _CONSTANTS
    if isinstance(node, ast.keyword):
        return node.arg in _ASSUMPTIONS
    if isinstance(node, ast.Constant):
        return _is_constant(node.value)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return isinstance(node.right, ast.Constant) and node.right.value in (-1, 2, 3)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return ("Pow" not in node.func.id and node.func.id not in ("LShift", "RShift")) or _is_small_power(
            node
        )
    return isinstance(node, (*_PLAIN, ast.Pow)) and not called


def _is_constant(value: object) -> bool:
    if isinstance(value, str):
        return _SYMBOL.fullmatch(value) is not None
    return isinstance(value, bool) or (isinstance(value, int | float) and abs(value) <= _LARGEST)


def _is_small_power(node: ast.Call) -> bool:
    """`Pow(x, 2)`, also with `Integer(2)`, whose exponent is a small number."""
    if len(node.args) != 2:
        return False
    exponent = node.args[1]
    if isinstance(exponent, ast.Call) and len(exponent.args) == 1:
        exponent = exponent.args[0]
    if isinstance(exponent, ast.UnaryOp):
        exponent = exponent.operand
    return isinstance(exponent, ast.Constant) and isinstance(exponent.value, int) and exponent.value <= 8
