"""Parts of an exported program as programs of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
from torch.fx import Graph, Node

from ...upstream.operators import is_mutable
from ...upstream.programs import new_program
from .frontier import Frontier, is_batch_size

aten = torch.ops.aten


def backbone_of(program: ExportedProgram, frontier: Frontier, method: str) -> ExportedProgram:
    """(*inputs) → (*features).

    Args:
        program: a method without targets, in evaluation mode.
        method: which.
    """
    nodes = {name: node for node, name in reversed(frontier.features[method].items())}
    features = [nodes[name] for name in frontier.names]
    specs = [OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(node.name), None) for node in features]
    inputs = _inputs(program)
    return _Extraction(program, {}, set(), inputs).program(features, specs)


def head_of(program: ExportedProgram, frontier: Frontier, method: str) -> tuple[ExportedProgram, list[str]]:
    """The rest of a method, (*features, *targets) → its outputs, and the names of the features it takes."""
    features, behind = frontier.features[method], frontier.behind[method]
    outputs = list(_arguments(program.graph.output_node()))
    specs = program.graph_signature.output_specs
    targets = [node for node in _inputs(program) if node not in behind]
    extraction = _Extraction(program, features, behind, targets, frontier.names)
    head = extraction.program(outputs, specs)
    return head, extraction.taken


class _Extraction:
    """Copies what some outputs need.

    Args:
        program: copied from.
        features: nodes that become inputs, by what these are called.
        behind: nodes that are not copied.
        inputs: placeholders that stay inputs.
        order: of the features.
    """

    def __init__(
        self,
        program: ExportedProgram,
        features: Mapping[Node, str],
        behind: set[Node],
        inputs: Sequence[Node],
        order: Sequence[str] = (),
    ) -> None:
        self.source = program
        self.order = order
        self.features = features
        self.behind = behind
        self.inputs = inputs
        self.taken: list[str] = []

    def program(self, outputs: Sequence[Any], specs: Iterable[OutputSpec]) -> ExportedProgram:
        """The program that computes some nodes.

        Args:
            specs: what they are.
        """
        needed = self._needed(outputs)
        names = {name for node, name in self.features.items() if node in needed}
        self.taken = sorted(names, key=self.order.index)
        graph, copies, input_specs = Graph(), dict[Node, Node](), list[InputSpec]()
        self._copy_tensors(graph, copies, input_specs, needed)
        placeholders = self._add_features(graph, copies, input_specs)
        for node in self.inputs:
            copies[node] = graph.node_copy(node)
            input_specs.append(InputSpec(InputKind.USER_INPUT, TensorArgument(copies[node].name), None))
        for node in self.source.graph.nodes:
            if node.op not in ("call_function", "get_attr") or node in copies or node not in needed:
                continue
            if self._is_cut_size(node):
                copies[node] = _batch_size(graph, node, placeholders)
            else:
                copies[node] = graph.node_copy(node, lambda n: copies[n])
        results, output_specs = [], []
        for node, spec in zip(outputs, specs, strict=True):
            result = copies[node] if isinstance(node, Node) else node
            # An output is a value of its own.
            if isinstance(node, Node) and (result.op == "placeholder" or result in results):
                result = _cloned(graph, result)
            results.append(result)
            argument = TensorArgument(result.name) if isinstance(node, Node) else spec.arg
            output_specs.append(OutputSpec(spec.kind, argument, spec.target))
        graph.output(tuple(results))
        graph.output_node().meta["val"] = tuple(_value(result) for result in results)
        graph.lint()
        return new_program(self.source, graph, ExportGraphSignature(input_specs, output_specs))

    def _needed(self, outputs: Sequence[Any]) -> set[Node]:
        """The outputs and what they are computed from, up to the features; and what writes into tensors."""
        writers = [
            node
            for node in self.source.graph.nodes
            if self.behind
            and node.op == "call_function"
            and is_mutable(node.target)
            and node not in self.behind
        ]
        pending = [node for node in (*outputs, *writers) if isinstance(node, Node)]
        found: set[Node] = set()
        while pending:
            node = pending.pop()
            if node in found:
                continue
            found.add(node)
            if node not in self.features and not self._is_cut_size(node):
                pending += node.all_input_nodes
        return found

    def _is_cut_size(self, node: Node) -> bool:
        return is_batch_size(node) and node.args[0] in self.behind

    def _copy_tensors(
        self, graph: Graph, copies: dict[Node, Node], specs: list[InputSpec], needed: set[Node]
    ) -> None:
        placeholders = {node.name: node for node in self.source.graph.nodes if node.op == "placeholder"}
        for spec in self.source.graph_signature.input_specs:
            node = placeholders[spec.arg.name]
            if spec.kind is not InputKind.USER_INPUT and node in needed:
                copies[node] = graph.node_copy(node)
                specs.append(
                    InputSpec(spec.kind, TensorArgument(copies[node].name), spec.target, spec.persistent)
                )

    def _add_features(self, graph: Graph, copies: dict[Node, Node], specs: list[InputSpec]) -> list[Node]:
        placeholders: dict[str, Node] = {}
        for name in self.taken:
            node = next(n for n, called in self.features.items() if called == name)
            placeholder = graph.placeholder(name)
            placeholder.meta["val"] = node.meta["val"]
            specs.append(InputSpec(InputKind.USER_INPUT, TensorArgument(placeholder.name), None))
            placeholders[name] = placeholder
        for name, placeholder in placeholders.items():
            nodes = [n for n, called in self.features.items() if called == name]
            written = any(
                is_mutable(u.target) and u.args[0] is n and u not in self.behind
                for n in nodes
                for u in n.users
            )
            # A method doesn't write into what it is given.
            copies |= dict.fromkeys(nodes, _cloned(graph, placeholder) if written else placeholder)
        return list(placeholders.values())


def _inputs(program: ExportedProgram) -> list[Node]:
    """The placeholders of what a caller gives."""
    wanted = [s.arg.name for s in program.graph_signature.input_specs if s.kind is InputKind.USER_INPUT]
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    return [nodes[name] for name in wanted]


def _arguments(output: Node) -> tuple[Any, ...]:
    (nodes,) = output.args
    assert isinstance(nodes, (tuple, list))
    return tuple(nodes)


def _batch_size(graph: Graph, node: Node, features: Sequence[Node]) -> Node:
    """The size of the batch, asked of a feature."""
    size = graph.call_function(aten.sym_size.int, (features[0], 0))
    size.meta.update(node.meta)
    return size


def _cloned(graph: Graph, node: Node) -> Node:
    clone = graph.call_function(aten.clone.default, (node,))
    clone.meta["val"] = node.meta["val"]
    return clone


def _value(result: Any) -> Any:
    return result.meta["val"] if isinstance(result, Node) else result
