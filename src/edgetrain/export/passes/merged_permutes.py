"""permute(permute(x)) → one permute, or x."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from .dropped_aliases import dropped_aliases
from .rewriting import calls, finish, permutation

aten = torch.ops.aten


def merged_permutes(program: ExportedProgram) -> int:
    """Composes permutations of permutations and drops those that cancel out; returns how many there were.

    The backward graph of a linear layer transposes its weight four times. In ExecuTorch each of these is a
    copy: for a model with wide layers, and small batches, they took more than half of a step.
    """
    count = 0
    for node in calls(program, aten.permute.default):
        inner = node.args[0]
        if isinstance(inner, Node) and inner.target is aten.permute.default:
            first = permutation(inner)
            node.args = (inner.args[0], [first[d] for d in permutation(node)])
            count += 1
    finish(program)
    dropped_aliases(program)
    return count
