"""What is computed twice is computed once."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from ...upstream.operators import is_mutable, is_operator
from .rewriting import finish, replace


def common_subexpressions(program: ExportedProgram) -> int:
    """Merges calls of an operator with the same arguments, random ones aside; returns how many went."""
    seen: dict[object, Node] = {}
    count = 0
    for node in list(program.graph.nodes):
        if node.op != "call_function" or not _is_repeatable(node.target):
            continue
        # A node's text is its name, which is its own in a graph.
        first = seen.setdefault((node.target, str(node.args), str(node.kwargs)), node)
        if first is not node:
            count += replace(program, node, first)
    finish(program)
    return count


def _is_repeatable(target: Any) -> bool:
    if is_operator(target):
        return torch.Tag.nondeterministic_seeded not in target.tags and not is_mutable(target)
    return target is operator.getitem
