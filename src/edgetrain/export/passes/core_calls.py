"""reshape(x) → view(x), masked_fill(x, mask, 0) → where(mask, 0, x): what passes write, as core operators.

Lowering would find the same by tracing the graph once more, and a joint graph has nothing else to be found.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.export import ExportedProgram

from .rewriting import arguments, call, calls, computed, finish

aten = torch.ops.aten


def core_calls(program: ExportedProgram) -> int:
    """Rewrites such calls, as if every tensor was contiguous, which it is when a program runs; returns how
    many there were."""
    return _views(program) + _choices(program)


def _views(program: ExportedProgram) -> int:
    reshapes = calls(program, aten.reshape.default)
    for node in reshapes:
        lengths = node.meta["val"].shape
        # A length that isn't known yet stays as it was given, which may be -1.
        shape = [
            length if isinstance(length, int) else given
            for given, length in zip(arguments(node)[1], lengths, strict=True)
        ]
        node.target, node.args = aten.view.default, (node.args[0], shape)
    return len(reshapes)


def _choices(program: ExportedProgram) -> int:
    fills = calls(program, aten.masked_fill.Scalar)
    for node in fills:
        x, mask, value = arguments(node)
        kept: Tensor = x.meta["val"]
        with program.graph.inserting_before(node):
            constant = computed(program.graph, aten.scalar_tensor.default, (value,), x, dtype=kept.dtype)
            choice = call(program.graph, aten.where.self, (mask, constant, x), node.meta["val"], node)
        node.replace_all_uses_with(choice)
        program.graph_signature.replace_all_uses(node.name, choice.name)
    finish(program)
    return len(fills)
