"""A joint graph as a list of operators over storages, small and fast enough to be searched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

import torch
from executorch.exir.sym_util import eval_shape_upper_bound
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind
from torch.fx import Node

from ...upstream.edge import draws_random_numbers
from ...upstream.operators import is_mutable
from ..memory.liveness import Storages, is_alias
from ..passes.in_place import PLACES
from ..passes.rewriting import arguments
from .costs import is_cheap, multiply_adds


@dataclass(frozen=True)
class Operation:
    """A call that makes tensors. Storages are numbers; weights and constants have none.

    Attributes:
        reads: storages of its arguments.
        makes: storages of its results.
        over: storages whose memory its result takes, if nobody needs them any more.
        macs: its multiply-adds for one largest batch.
        cheap: it is called again in about the time that reading its result takes.
        repeatable: a second call gives the same: it is neither random nor does it write its arguments.
        constant: it depends on no input, only on weights and constants.
    """

    node: Node
    reads: tuple[int, ...]
    makes: tuple[int, ...]
    over: tuple[int, ...]
    macs: int
    cheap: bool
    repeatable: bool
    constant: bool


@dataclass(frozen=True)
class Tape:
    """What a joint graph does, in its order.

    Attributes:
        forward: up to the last operator that loss, predictions, sums or buffers need, by position: what was
            put there for backward on purpose, as a mask in place of what it was made of, belongs to it.
        backward: all others.
        nodes: of the forward graph, with views and the like.
        of: storages that a node's value lies in.
        sizes: of each storage, for the largest batch [bytes].
        maker: which forward operator makes a storage.
        inputs: storages of the inputs.
        outputs: storages that are still needed at the end.
    """

    forward: tuple[Operation, ...]
    backward: tuple[Operation, ...]
    nodes: Set[Node]
    of: Mapping[Node, Sequence[int]]
    sizes: Sequence[int]
    maker: Mapping[int, int]
    inputs: Set[int]
    outputs: Set[int]

    @property
    def macs(self) -> int:
        """Multiply-adds of a whole step as it stands."""
        return sum(operation.macs for operation in (*self.forward, *self.backward))


def make_tape(program: ExportedProgram, *, gradients_stay: bool) -> Tape:
    """Reads an edge-dialect joint graph.

    Args:
        gradients_stay: gradients are outputs; otherwise something takes each as soon as it is made.
    """
    storages = Storages(program)
    early, gradients = _outputs(program)
    nodes = _forward_nodes(storages.nodes, early)
    constants: set[Node] = set()
    forward: list[Operation] = []
    backward: list[Operation] = []
    for node in storages.nodes:
        if node.op != "call_function":
            continue
        constant = all(a in constants or _is_stored(storages, a) for a in node.all_input_nodes)
        if constant:
            constants.add(node)
        if storages.made[node]:
            (forward if node in nodes else backward).append(_operation(storages, node, constant))
    late = (*early, *gradients) if gradients_stay else early
    return Tape(
        forward=tuple(forward),
        backward=tuple(backward),
        nodes=nodes,
        of=storages.of,
        sizes=storages.sizes,
        maker={storage: i for i, operation in enumerate(forward) for storage in operation.makes},
        inputs={s for node in storages.nodes if node.op == "placeholder" for s in storages.made[node]},
        outputs={s for node in late for s in storages.of[node]},
    )


def _outputs(program: ExportedProgram) -> tuple[list[Node], list[Node]]:
    """What the forward graph returns, and the gradients."""
    early: list[Node] = []
    gradients: list[Node] = []
    results = program.graph.output_node().args[0]
    assert isinstance(results, (tuple, list))
    for result, spec in zip(results, program.graph_signature.output_specs, strict=True):
        if isinstance(result, Node):
            gradient = spec.kind is OutputKind.GRADIENT_TO_PARAMETER
            (gradients if gradient else early).append(result)
    return early, gradients


def _forward_nodes(nodes: Sequence[Node], early: Iterable[Node]) -> set[Node]:
    position = {node: i for i, node in enumerate(nodes)}
    last = max((position[node] for node in early if node.op == "call_function"), default=-1)
    return set(nodes[: last + 1])


def _is_stored(storages: Storages, node: Node) -> bool:
    """Whether a node is a weight or a constant."""
    return node.op == "placeholder" and not storages.of[node]


def _operation(storages: Storages, node: Node, constant: bool) -> Operation:
    makes = storages.made[node]
    return Operation(
        node=node,
        reads=tuple(dict.fromkeys(storages.used(node))),
        makes=tuple(makes),
        over=tuple(_over(storages, node, makes)),
        macs=multiply_adds(node, _largest),
        cheap=is_cheap(node),
        repeatable=not draws_random_numbers(node) and not is_mutable(node.target),
        constant=constant,
    )


def _over(storages: Storages, node: Node, makes: Sequence[int]) -> Iterable[int]:
    """As `in_place` has it: neither inputs nor views."""
    for place in PLACES.get(node.target, ()):
        given = arguments(node)[place]
        if isinstance(given, Node) and given.op == "call_function" and len(storages.of[given]) == 1:
            (storage,) = storages.of[given]
            own = given in storages.made and (storages.made[given] or not _is_view(given))
            if own and storages.sizes[storage] == storages.sizes[makes[0]]:
                yield storage


def _is_view(node: Node) -> bool:
    return is_alias(node) and isinstance(node.meta.get("val"), torch.Tensor)


def _largest(value: torch.Tensor) -> list[int]:
    """A shape for the largest batch."""
    return [int(length) for length in eval_shape_upper_bound(value.shape)]
