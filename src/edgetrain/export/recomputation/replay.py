"""Copies of forward operators among those of backward."""

from __future__ import annotations

from collections.abc import Set

from torch.export import ExportedProgram
from torch.fx import Graph, Node

from ..memory.liveness import is_alias
from .schedule import copies_for
from .tape import Tape


def replay(program: ExportedProgram, tape: Tape, kept: Set[int]) -> int:
    """Has backward make again what it needs of forward and isn't kept, by copies right before its first use
    there. Returns how many operators were copied.

    Args:
        tape: the program's.
    """
    writer = _Writer(program.graph, tape, kept)
    for node in list(program.graph.nodes):
        if node.op == "call_function" and node not in tape.nodes:
            writer.read_copies(node)
    program.graph.eliminate_dead_code()
    program.graph.lint()
    program.graph_module.recompile()
    return len(writer.made)


class _Writer:
    """
    Attributes:
        made: forward operators that were copied, by index.
        copies: by the node they stand for.
    """

    def __init__(self, graph: Graph, tape: Tape, kept: Set[int]) -> None:
        self.graph, self.tape, self.kept = graph, tape, kept
        self.made: set[int] = set()
        self.copies: dict[Node, Node] = {}

    def read_copies(self, node: Node) -> None:
        """Lets a backward node read copies of what isn't kept, which are put before it."""
        reads = [s for a in node.all_input_nodes if self._is_copied(a) for s in self.tape.of[a]]
        with self.graph.inserting_before(node):
            for index in copies_for(self.tape, self.kept, reads, self.made):
                self._copy(self.tape.forward[index].node)
            for read in node.all_input_nodes:
                node.replace_input_with(read, self._instead(read))

    def _copy(self, node: Node) -> Node:
        copy = self.graph.node_copy(node, self._instead)
        copy.meta = dict(node.meta)
        self.copies[node] = copy
        return copy

    def _instead(self, node: Node) -> Node:
        """The copy of what isn't kept. Parts of a call with several results are asked for one by one, so that
        one may be kept and another made again."""
        if node in self.copies:
            return self.copies[node]
        if is_alias(node) and self._is_copied(node):
            return self._copy(node)
        return node

    def _is_copied(self, node: Node) -> bool:
        storages = self.tape.of.get(node, ())
        return node in self.tape.nodes and any(s in self.tape.maker and s not in self.kept for s in storages)
