"""alias(x) → x: no operators whose result is their argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from .rewriting import calls, finish, permutation, replace, same_shape

aten = torch.ops.aten


def dropped_aliases(program: ExportedProgram) -> int:
    """Removes aliases, detachments, copies, and views and permutations that change nothing; returns how many.

    Graphs are functional: nobody writes into a tensor, so that nobody needs a copy of one.
    """
    count = 0
    for node in calls(program, *_RULES):
        source = node.args[0]
        if isinstance(source, Node) and _RULES[node.target](node, source):
            count += replace(program, node, source)
    finish(program)
    return count


def _always(node: Node, source: Node) -> bool:
    return True


def _same_layout(node: Node, source: Node) -> bool:
    """A clone may be asked to lay its elements out differently."""
    return node.kwargs.get("memory_format") in (None, torch.contiguous_format, torch.preserve_format) and (
        source.meta["val"].is_contiguous()
    )


def _identity(node: Node, source: Node) -> bool:
    dims = permutation(node)
    return dims == sorted(dims)


_RULES: dict[Any, Callable[[Node, Node], bool]] = {
    aten.alias.default: _always,
    aten.detach.default: _always,
    aten.clone.default: _same_layout,
    aten.reshape.default: same_shape,
    aten.expand.default: same_shape,
    aten.permute.default: _identity,
}
