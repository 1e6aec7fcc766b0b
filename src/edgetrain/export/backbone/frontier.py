"""Where the part of a model that nothing trains ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Node

from ...errors import UsageError
from ..pipeline import Graphs, Signature
from .values import Values, is_trained, length_text

_SIZE = torch.ops.aten.sym_size.int


@dataclass(frozen=True)
class Frontier:
    """The cut through the graphs of all methods.

    Attributes:
        names: of the features, in order.
        features: by method, the nodes that stand for them in its graph; several may for one.
        behind: by method, the nodes whose values the backbone computes on its way.
    """

    names: list[str]
    features: dict[str, dict[Node, str]]
    behind: dict[str, set[Node]]


def find_frontier(graphs: Graphs, signatures: Mapping[str, Signature], wish: str) -> Frontier:
    """The last values that all methods compute alike from inputs and frozen tensors.

    They have one entry per sample, along dimension 0.

    Args:
        graphs: as `torch.export` captures them.
        wish: who asked for a backbone, for messages.
    Raises:
        UsageError: no frozen layer lies before the first that is trained.
    """
    values = Values()
    found = {name: values.of(graphs[name], _inputs(graphs[name], signatures[name])) for name in graphs}
    batch = _batch_size(graphs["train"])
    common = set(values.fed).intersection(*(numbers.values() for numbers in found.values()))
    while True:
        border = [n for name in graphs for n in _border(found[name], common)]
        unfit = {
            found_in[n]
            for found_in in found.values()
            for n in border
            if n in found_in and not _fits(n, batch)
        }
        if not unfit:
            break
        common -= values.dependents(unfit)
    numbers = list(dict.fromkeys(number for number in (_number(found, n) for n in border)))
    _require_layers(graphs, found, common, numbers, wish)
    names = dict(zip(numbers, _names(len(numbers), signatures), strict=True))
    return Frontier(
        list(names.values()),
        {
            method: {node: names[number] for node, number in of.items() if number in names}
            for method, of in found.items()
        },
        {method: {node for node, number in of.items() if number in common} for method, of in found.items()},
    )


def is_batch_size(node: Node) -> bool:
    """Whether a node asks a tensor for the size of the batch, which others can be asked for as well."""
    return node.target is _SIZE and length_text(node.meta["val"]) == "batch"


def _inputs(program: ExportedProgram, signature: Signature) -> dict[str, str]:
    """Names of the inputs by placeholder."""
    placeholders = [s.arg.name for s in program.graph_signature.input_specs if s.kind is InputKind.USER_INPUT]
    return {
        placeholder: argument.name
        for placeholder, argument in zip(placeholders, signature.inputs, strict=True)
        if argument.role == "input"
    }


def _border(numbers: Mapping[Node, int], common: set[int]) -> list[Node]:
    """Common values that something else needs."""
    inside = {node for node, number in numbers.items() if number in common}
    return [
        node
        for node in numbers
        if node in inside and any(user not in inside and not is_batch_size(user) for user in node.users)
    ]


def _batch_size(program: ExportedProgram) -> str:
    """The length of an input's first dimension."""
    (placeholder, *_) = (
        s.arg.name for s in program.graph_signature.input_specs if s.kind is InputKind.USER_INPUT
    )
    node = next(n for n in program.graph.nodes if n.name == placeholder)
    return length_text(node.meta["val"].shape[0])


def _fits(node: Node, batch: str) -> bool:
    """Whether a value can be handed from method to method: a tensor with one entry per sample."""
    value = node.meta.get("val")
    if not isinstance(value, Tensor) or value.dim() == 0 or length_text(value.shape[0]) != batch:
        return False
    return all(isinstance(length, int) for length in value.shape[1:])


def _number(found: Mapping[str, Mapping[Node, int]], node: Node) -> int:
    return next(numbers[node] for numbers in found.values() if node in numbers)


def _require_layers(
    graphs: Graphs,
    found: Mapping[str, Mapping[Node, int]],
    common: set[int],
    features: list[int],
    wish: str,
) -> None:
    """Refuses a backbone in which no frozen parameter takes part."""
    train, numbers = graphs["train"], found["train"]
    frozen = train.graph_signature.inputs_to_parameters
    used = any(
        numbers.get(user) in common
        for node in train.graph.nodes
        if node.op == "placeholder" and node.name in frozen
        for user in node.users
    )
    if features and used:
        return
    trained = next(
        (
            frozen[source.name]
            for node in train.graph.nodes
            if node.op == "call_function"
            for source in node.all_input_nodes
            if is_trained(train, source.name)
        ),
        "one of them",
    )
    raise UsageError(
        f"{wish} runs the frozen layers before the first that is trained, but there are none before "
        f"{trained}; freeze the first layers, as --update head does"
    )


def _names(count: int, signatures: Mapping[str, Signature]) -> list[str]:
    """`features`, `features1`, ..., unless an input or target is called like this."""
    taken = {a.name for s in signatures.values() for a in (*s.inputs, *s.outputs)}
    stem = "features"
    while any(f"{stem}{i or ''}" in taken for i in range(count)):
        stem = f"backbone_{stem}"
    return [f"{stem}{i or ''}" for i in range(count)]
