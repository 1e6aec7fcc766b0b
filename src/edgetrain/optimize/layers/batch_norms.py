"""Batch norms → part of the convolution or linear layer before them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from torch import nn
from torch.fx import Node

from ...artifacts.transforms import FoldedNorm
from ...models.transforms.folded_norm import FOLDABLE, NORMS
from ...models.transforms.traced_forward import Trace, has_own_forward
from ...upstream.layers import has_hooks
from .changes import Changes, Replacement
from .used_parts import used_parts


def fold(changes: Changes) -> None:
    """Folds each batch norm with stored statistics whose input nothing else sees."""
    names = Counter(id(module) for _, module in changes.modules())
    for path, norm_path in list(_pairs(changes)):
        layer, norm = changes.model.get_submodule(path), changes.model.get_submodule(norm_path)
        # Subclasses may compute something else.
        if type(layer) not in FOLDABLE or type(norm) not in NORMS or has_hooks(layer) or has_hooks(norm):
            continue
        assert isinstance(layer, FOLDABLE)
        assert isinstance(norm, NORMS)
        if norm.running_mean is None:
            continue
        if names[id(layer)] > 1 or names[id(norm)] > 1 or len(layer.weight) != norm.num_features:
            continue
        kinds = f"{type(layer).__name__} + {type(norm).__name__}"
        changes.record(FoldedNorm(convolution=path, norm=norm_path))
        changes.replaced.append(Replacement(changes.rule, norm_path, kinds, type(layer).__name__))


def _pairs(changes: Changes) -> Iterator[tuple[str, str]]:
    """Paths of layers one of which is all that sees the output of the other."""
    parts = used_parts(changes)
    for path, module in changes.modules():
        prefix = f"{path}." if path else ""
        if type(module).forward is nn.Sequential.forward:
            names = [f"{prefix}{name}" for name, _ in module.named_children()]
            yield from (pair for pair in pairwise(names) if not parts & set(pair))
        elif has_own_forward(module):
            trace = changes.trace(module)
            if not isinstance(trace, Trace):
                continue
            calls = [node for node in trace.graph.nodes if node.op == "call_module"]
            times = Counter(node.target for node in calls)
            for node in calls:
                before = node.args[0] if len(node.args) == 1 and not node.kwargs else None
                if not isinstance(before, Node) or before.op != "call_module" or len(before.users) != 1:
                    continue
                if times[node.target] == times[before.target] == 1:
                    yield f"{prefix}{before.target}", f"{prefix}{node.target}"
