"""Two methods of which one computes a part of what the other does, lowered as one graph and parted again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import (
    ExportGraphSignature,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
    TensorArgument,
)
from torch.fx import Node

from ..upstream.operators import is_mutable, is_operator
from ..upstream.programs import copied_program, new_program
from .backbone.frontier import is_batch_size
from .backbone.values import is_random


def joined(whole: ExportedProgram, part: ExportedProgram) -> ExportedProgram | None:
    """(*inputs of whole) → (*outputs of whole, *outputs of part); None where `part` isn't all in `whole`.

    The first inputs of both are the same. Neither is changed.
    """
    if any(_has_effects(program) for program in (whole, part)):
        return None
    both = copied_program(whole)
    found = _found(part, both)
    outputs = [found.get(node) for node in _outputs(part)]
    if None in outputs:
        return None
    nodes = [*_outputs(both), *(node for node in outputs if node is not None)]
    return _with_outputs(both, nodes, [spec.arg.name for spec in _inputs(both)])


def parted(both: ExportedProgram, count: int, inputs: int) -> tuple[ExportedProgram, ExportedProgram]:
    """The two methods of a graph that `joined` made.

    Args:
        count: outputs of the first.
        inputs: how many the second takes.
    """
    methods = []
    for outputs, taken in ((slice(count), None), (slice(count, None), inputs)):
        program = copied_program(both)
        names = [spec.arg.name for spec in _inputs(program)][:taken]
        methods.append(_with_outputs(program, _outputs(program)[outputs], names))
    first, second = methods
    return first, second


def _has_effects(program: ExportedProgram) -> bool:
    """Whether a program does more than compute its outputs, or has graphs inside."""
    if any(spec.kind is not OutputKind.USER_OUTPUT for spec in program.graph_signature.output_specs):
        return True
    return any(
        node.op == "get_attr"
        or (
            node.op == "call_function"
            and (is_random(node) or (is_operator(node.target) and is_mutable(node.target)))
        )
        for node in program.graph.nodes
    )


def _found(part: ExportedProgram, whole: ExportedProgram) -> dict[Node, Node]:
    """For nodes of `part`, those of `whole` that compute the same."""
    known: dict[Any, Node] = {}
    # Without gradients, what is detached is what it was; and what is computed twice is the first of them.
    same_as: dict[Node, Node] = {}
    sizes = [node for node in whole.graph.nodes if is_batch_size(node)]
    for node in whole.graph.nodes:
        if node in sizes:
            same_as[node] = sizes[0]
        elif node.op == "call_function":
            first = known.setdefault(_call(node, same_as), node)
            if first is not node:
                same_as[node] = first
            if node.target is torch.ops.aten.detach.default:
                (source,) = node.all_input_nodes
                same_as[node] = same_as.get(source, source)
    found = _same_inputs(part, whole)
    for node in part.graph.nodes:
        if is_batch_size(node) and sizes:
            found[node] = sizes[0]
        elif node.op == "call_function" and all(source in found for source in node.all_input_nodes):
            same = known.get(_call(node, found))
            if same is not None:
                found[node] = same
    return found


def _same_inputs(part: ExportedProgram, whole: ExportedProgram) -> dict[Node, Node]:
    """The placeholders of `part` that `whole` has, too."""
    ours, theirs = _placeholders(part), _placeholders(whole)
    tensors = {(s.kind, s.target): s for s in whole.graph_signature.input_specs if s.target is not None}
    found = {
        ours[a.arg.name]: theirs[b.arg.name] for a, b in zip(_inputs(part), _inputs(whole), strict=False)
    }
    for spec in part.graph_signature.input_specs:
        same = tensors.get((spec.kind, spec.target))
        if same is None or spec.target is None:
            continue
        values = [{**program.state_dict, **program.constants}.get(spec.target) for program in (part, whole)]
        if _equal(*values):
            found[ours[spec.arg.name]] = theirs[same.arg.name]
    return found


def _equal(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if not isinstance(a, torch.Tensor) or not isinstance(b, torch.Tensor):
        return False
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)


def _call(node: Node, known_as: dict[Node, Node]) -> Any:
    """What a call is, in nodes of the other graph."""

    def plain(value: Any) -> Any:
        if isinstance(value, Node):
            return known_as.get(value, value)
        if isinstance(value, (list, tuple)):
            return tuple(plain(item) for item in value)
        return type(value), str(value)

    named = tuple((name, plain(value)) for name, value in sorted(node.kwargs.items()))
    return node.target, plain(node.args), named


def _placeholders(program: ExportedProgram) -> dict[str, Node]:
    return {node.name: node for node in program.graph.nodes if node.op == "placeholder"}


def _inputs(program: ExportedProgram) -> list[InputSpec]:
    """What a caller gives."""
    return [s for s in program.graph_signature.input_specs if s.kind is InputKind.USER_INPUT]


def _outputs(program: ExportedProgram) -> list[Node]:
    results: Any = program.graph.output_node().args[0]
    return list(results)


def _with_outputs(
    program: ExportedProgram, outputs: Sequence[Node], inputs: Sequence[str]
) -> ExportedProgram:
    """A program, whose graph is used, with other outputs, and of its inputs and tensors what these need.

    Args:
        inputs: names of the placeholders that a caller gives, needed or not.
    """
    graph, kept = program.graph, set(inputs)
    graph.output_node().args = (tuple(outputs),)
    graph.output_node().meta["val"] = tuple(node.meta["val"] for node in outputs)
    graph.eliminate_dead_code()
    specs = []
    placeholders = _placeholders(program)
    _ask_inputs(program, [placeholders[name] for name in inputs])
    for spec in program.graph_signature.input_specs:
        node = placeholders[spec.arg.name]
        if spec.arg.name in kept or node.users:
            specs.append(spec)
        else:
            graph.erase_node(node)
    results = [OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(node.name), None) for node in outputs]
    return new_program(program, graph, ExportGraphSignature(specs, results))


def _ask_inputs(program: ExportedProgram, inputs: Sequence[Node]) -> None:
    """Asks the first input for the size of the batch, where others are asked that don't stay."""
    for node in [node for node in program.graph.nodes if is_batch_size(node)]:
        if inputs and node.args[0] not in inputs:
            with program.graph.inserting_before(node):
                size = program.graph.call_function(node.target, (inputs[0], 0))
            size.meta.update(node.meta)
            node.replace_all_uses_with(size)
            program.graph.erase_node(node)
