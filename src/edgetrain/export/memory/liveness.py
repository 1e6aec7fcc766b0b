"""What memory a graph in edge dialect will need: which tensors share storage, how large, and for how long.

A model of what `memory_planning` finds once the graph is lowered, quick enough to compare orders of a graph.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch
from executorch.exir.sym_util import eval_shape_upper_bound
from executorch.exir.tensor import ALIGNMENT
from torch.export import ExportedProgram
from torch.fx import Node

from ...upstream.edge import edge_operators
from ..passes.in_place import PLACES
from ..passes.onto import ONTO

_VIEW = edge_operators().aten.view_copy.default


def tensor_bytes(value: object) -> int:
    """Planned size of a fake tensor at the largest batch; 0 for everything else."""
    if not isinstance(value, torch.Tensor):
        return 0
    count = 1
    for length in eval_shape_upper_bound(value.shape):
        count *= length
    return -(-count * value.element_size() // ALIGNMENT) * ALIGNMENT


def is_tensor(node: Node) -> bool:
    """Whether a node's value is one tensor or several, and no number."""
    return any(isinstance(value, torch.Tensor) for value in _values(node))


def _values(node: Node) -> list[object]:
    value = node.meta.get("val")
    return list(value) if isinstance(value, (list, tuple)) else [value]


def is_alias(node: Node) -> bool:
    """Whether a node's value lies in its first argument's memory: a view, unless it is returned, or one of
    several results."""
    if node.op != "call_function":
        return False
    if node.target is _VIEW:
        return all(user.op != "output" for user in node.users)
    return node.target is operator.getitem


class Storages:
    """The storages of a graph's activations, by number.

    Weights, constants and what is written onto them lie elsewhere and have none.

    Attributes:
        nodes: all but the output, as the graph has them.
        sizes: of each storage [bytes].
        made: storages that a node's results are put into; none of aliases.
        of: storages a node's value lies in.
        returned: storages that must last to the end.
    """

    def __init__(self, program: ExportedProgram) -> None:
        signature = program.graph_signature
        stored = {
            *signature.inputs_to_parameters,
            *signature.inputs_to_buffers,
            *signature.inputs_to_lifted_tensor_constants,
        }
        self.nodes: list[Node] = []
        self.sizes: list[int] = []
        self.made: dict[Node, list[int]] = {}
        self.of: dict[Node, list[int]] = {}
        output = program.graph.output_node()
        for node in program.graph.nodes:
            if node is output:
                continue
            self.nodes.append(node)
            self.made[node] = []
            if is_alias(node):
                source = self.of[node.args[0]]
                self.of[node] = [source[node.args[1]]] if node.target is operator.getitem else source
            elif node.target in stored or ONTO in node.meta:
                self.of[node] = []
            else:
                self.of[node] = self.made[node] = self._new(node)
        self.returned = {storage for node in output.all_input_nodes for storage in self.of[node]}

    def used(self, node: Node) -> list[int]:
        """Storages a node reads, or is an alias of."""
        return [storage for given in node.all_input_nodes for storage in self.of[given]]

    def last_uses(self, order: Sequence[Node]) -> list[int]:
        """By storage, the last place in an order where it is needed; the order's length if it is returned."""
        last = [len(order) if storage in self.returned else -1 for storage in range(len(self.sizes))]
        for at, node in enumerate(order):
            for storage in (*self.used(node), *self.made[node]):
                last[storage] = max(last[storage], at)
        return last

    def live_bytes(self, order: Sequence[Node]) -> list[int]:
        """Bytes of activations that live while each node of an order runs, with elementwise results in the
        memory of arguments where that may be (`in_place`)."""
        last = self.last_uses(order)
        dying: list[list[int]] = [[] for _ in range(len(order) + 1)]
        for storage, at in enumerate(last):
            dying[at].append(storage)
        current = sum(self.sizes[s] for node in order if node.op == "placeholder" for s in self.made[node])
        live = []
        for at, node in enumerate(order):
            added = 0 if node.op == "placeholder" else sum(self.sizes[s] for s in self.made[node])
            live.append(current + added - (added if self._in_place(node, at, last) else 0))
            current += added - sum(self.sizes[s] for s in dying[at])
        return live

    def peak(self, order: Sequence[Node] | None = None) -> int:
        """The most bytes that live at once, in the graph's own order if none is given."""
        return max(self.live_bytes(self.nodes if order is None else order), default=0)

    def _new(self, node: Node) -> list[int]:
        first = len(self.sizes)
        self.sizes += [tensor_bytes(value) for value in _values(node)]
        return list(range(first, len(self.sizes)))

    def _in_place(self, node: Node, at: int, last: Sequence[int]) -> bool:
        if not self.made[node]:
            return False
        for place in PLACES.get(node.target, ()):
            given = node.args[place]
            if not isinstance(given, Node) or given.op != "call_function" or given.target is _VIEW:
                continue
            if len(self.of[given]) != 1:
                continue
            storage = self.of[given][0]
            if last[storage] == at and self.sizes[storage] == self.sizes[self.made[node][0]]:
                return True
        return False
