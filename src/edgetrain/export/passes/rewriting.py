"""What the passes share: making, replacing and removing nodes of an exported program's graph."""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, Node
from torch.fx.node import map_arg

from ..module_paths import keep_path

# Of the operators as captured.
_NORMALISATIONS = (torch.ops.aten.batch_norm.default, torch.ops.aten.instance_norm.default)


def calls(program: ExportedProgram, *targets: Any) -> list[Node]:
    """The calls of some operators, in the graph's order."""
    return [n for n in program.graph.nodes if n.op == "call_function" and n.target in targets]


def call(graph: Graph, target: Any, args: tuple[Any, ...], value: object, place: Node) -> Node:
    """A new call at the graph's insertion point.

    Args:
        value: the fake tensor it returns.
        place: the node it stands for, or beside, which tells the module it comes from.
    """
    node = graph.call_function(target, args)
    node.meta["val"] = value
    keep_path(node, place)
    return node


def computed(graph: Graph, target: Any, args: tuple[Any, ...], place: Node, **kwargs: Any) -> Node:
    """As `call`, for a value that the operator itself tells.

    Args:
        args: nodes, lists of them among these, and constants.
        place: as for `call`; its value is a tensor.
    """
    value: Any = place.meta["val"]
    with value.fake_mode, torch.no_grad():
        result = target(*map_arg(args, lambda node: node.meta["val"]), **kwargs)
    node = call(graph, target, args, result, place)
    node.kwargs = kwargs
    return node


def arguments(node: Node) -> tuple[Any, ...]:
    """What a call is given, free for any use: torch's type for it allows nothing without a cast."""
    return node.args


def permutation(node: Node) -> list[int]:
    """The dimensions of a permute's result, counted from the front."""
    dims = arguments(node)[1]
    return [d % len(dims) for d in dims]


def same_shape(a: Node, b: Node) -> bool:
    """Whether two tensors have one shape for every batch."""
    ours, theirs = a.meta["val"].shape, b.meta["val"].shape
    return [str(size) for size in ours] == [str(size) for size in theirs]


def replace(program: ExportedProgram, old: Node, new: Node) -> bool:
    """Puts `new` wherever `old` was used, outputs included; returns whether it could.

    It can't where an output would become an input or another output: each output is a value of its own.
    """
    outputs = program.graph.output_node().args[0]
    if old in outputs and (new.op == "placeholder" or new in outputs):
        return False
    old.replace_all_uses_with(new)
    program.graph_signature.replace_all_uses(old.name, new.name)
    return True


def finish(program: ExportedProgram) -> None:
    """Removes what nothing needs any more. Random operators stay, since their results are needed by none but
    their state may be."""
    program.graph.eliminate_dead_code(_has_effect)
    program.graph.lint()
    program.graph_module.recompile()


def _has_effect(node: Node) -> bool:
    """Normalisation changes its running statistics without saying so, also where nobody reads its result."""
    if node.target in _NORMALISATIONS:
        _, _, _, running_mean, _, training, *_ = node.args
        return running_mean is not None and bool(training)
    return node.is_impure(True)
