"""x.relu_() → x.clone().relu_(): inputs that a captured graph writes into are copied first.

A program's inputs belong to its caller. Lowering would also return what was written as one output more, and
every other one would move.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from ...upstream.operators import is_mutable, is_operator, returns_alias, schema_arguments

aten = torch.ops.aten


def copied_inputs(program: ExportedProgram) -> int:
    """Copies each input that a graph, which isn't functional yet, writes into, also through a view; returns
    how many."""
    graph, names = program.graph, set(program.graph_signature.user_inputs)
    inputs = [node for node in graph.nodes if node.op == "placeholder" and node.name in names]
    written = written_among(program, inputs)
    first = next(node for node in graph.nodes if node.op != "placeholder")
    for node in inputs:
        if node not in written:
            continue
        with graph.inserting_before(first):
            copy = graph.call_function(aten.clone.default, (node,))
        value = node.meta["val"]
        with value.fake_mode:
            copy.meta["val"] = value.clone()
        node.replace_all_uses_with(copy, delete_user_cb=lambda user, copy=copy: user is not copy)
        for spec in program.graph_signature.output_specs:
            if getattr(spec.arg, "name", None) == node.name:
                spec.arg.name = copy.name
    program.graph_module.recompile()
    return len(written)


def written_among(program: ExportedProgram, inputs: Iterable[Node]) -> set[Node]:
    """Those of a graph's placeholders whose memory a call writes, also through a view."""
    written: set[Node] = set()
    # Which inputs' memory a node's value may lie in.
    behind: dict[Node, set[Node]] = {node: {node} for node in inputs}

    def of(value: object) -> set[Node]:
        if isinstance(value, (list, tuple)):
            return {source for item in value for source in of(item)}
        return behind.get(value, set()) if isinstance(value, Node) else set()

    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        taken = {source for argument in node.all_input_nodes for source in of(argument)}
        if is_operator(node.target):
            given = dict(zip([a.name for a in schema_arguments(node.target)], node.args, strict=False))
            given.update(node.kwargs)
            for argument in schema_arguments(node.target):
                if argument.alias_info is not None and argument.alias_info.is_write:
                    written |= of(given.get(argument.name))
            behind[node] = taken if returns_alias(node.target) else set()
        elif node.target is operator.getitem:
            behind[node] = taken
        elif taken:  # a graph that is called, as of what stands under no_grad()
            if any(
                _writes(program.graph_module, str(a.target))
                for a in node.all_input_nodes
                if a.op == "get_attr"
            ):
                written |= taken
            behind[node] = taken
    return written


def _writes(root: GraphModule, name: str) -> bool:
    """Whether anything in a graph inside a graph is written."""
    graph = root.get_submodule(name)
    return isinstance(graph, GraphModule) and any(
        is_mutable(node.target)
        for inner in graph.modules()
        if isinstance(inner, GraphModule)
        for node in inner.graph.nodes
        if node.op == "call_function"
    )
