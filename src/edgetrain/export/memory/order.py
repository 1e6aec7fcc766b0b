"""An order of a graph's operators in which little memory lives at once."""

from __future__ import annotations

from collections.abc import Iterable, Set

from torch.export import ExportedProgram
from torch.fx import Node

from ...upstream.edge import draws_random_numbers
from ..passes.onto import target_of
from .liveness import Storages, is_alias, is_tensor

Order = list[Node]


def least_memory_order(program: ExportedProgram) -> Order:
    """All nodes of an edge-dialect graph but its output, in the best order found; the same one each time.

    Beyond the data's own ways, whatever writes onto a weight comes after all that read its old contents,
    several that write onto one weight keep their turns, and random operators keep theirs, since their draws
    depend on it.

    The order that is there is kept unless another one needs less memory.

    Raises:
        RuntimeError: there is no such order (a contradiction between reading and writing a weight).
    """
    storages = Storages(program)
    needed = predecessors(storages.nodes)
    lazy = _sources(storages) | _update_parts(storages)
    orders = (
        _scheduled(storages.nodes, needed),
        _scheduled(storages.nodes, needed, lazy),
        _scheduled(storages.nodes, needed, lazy, _Thrift(storages)),
    )
    delayed = (_delayed(order, storages, needed) for order in orders)
    return min((*orders, *delayed), key=storages.peak)


def predecessors(nodes: Iterable[Node]) -> dict[Node, set[Node]]:
    """What has to run before each node: what it reads, and what would otherwise see other contents."""
    needed: dict[Node, set[Node]] = {}
    placeholders: dict[str, Node] = {}
    random: Node | None = None
    for node in nodes:
        needed[node] = set(node.all_input_nodes)
        if node.op == "placeholder":
            placeholders[node.name] = node
        elif node.op == "call_function" and draws_random_numbers(node):
            if random is not None:
                needed[node].add(random)
            random = node
    contents = {name: [node] for name, node in placeholders.items()}
    for node in needed:
        written = target_of(node)
        if written is not None:
            versions = contents[written]
            needed[node] |= {reader for old in versions for reader in _readers(old)} - {node}
            needed[node] |= set(versions)
            versions.append(node)
    return needed


def apply_order(program: ExportedProgram, order: Order) -> None:
    """Puts a graph's nodes into an order of all but its output."""
    output = program.graph.output_node()
    for node in order:
        if node.op != "placeholder":
            output.prepend(node)
    program.graph.lint()
    program.graph_module.recompile()


def _readers(node: Node) -> set[Node]:
    """Nodes that read a value, through views too."""
    found: set[Node] = set()
    for user in node.users:
        if user.op != "output":
            found.add(user)
            if is_alias(user):
                found |= _readers(user)
    return found


def _sources(storages: Storages) -> set[Node]:
    """Tensors that depend on no input: constants, and functions of weights. Random ones and what is written
    onto weights have places of their own."""
    found: set[Node] = set()
    for node in storages.nodes:
        if node.op != "call_function" or not storages.of[node] or draws_random_numbers(node):
            continue
        tensors = [given for given in node.all_input_nodes if is_tensor(given)]
        stored = (t.op == "placeholder" and not storages.of[t] for t in tensors if t not in found)
        if is_tensor(node) and all(stored):
            found.add(node)
    return found


def _update_parts(storages: Storages) -> set[Node]:
    """What serves one update of a weight and nothing else, such as its gradient where that is made alone."""
    found: set[Node] = set()
    update: dict[Node, Node] = {}  # the last operator of the update that a node belongs to
    for node in reversed(storages.nodes):
        written = target_of(node) is not None
        served = {update.get(user) for user in node.users if user.op != "output"}
        returned = any(user.op == "output" for user in node.users)
        serves = served.pop() if len(served) == 1 and (written or not returned) else None
        if serves is not None and node.op == "call_function" and not draws_random_numbers(node):
            update[node] = serves
            found.add(node)
        elif written:
            update[node] = node
    return found


class _Thrift:
    """Chooses, ahead of its turn, whatever frees at least as much memory as it takes."""

    def __init__(self, storages: Storages) -> None:
        self.storages = storages
        self.turns = {node: turn for turn, node in enumerate(storages.nodes)}
        self.left: list[set[Node]] = [set() for _ in storages.sizes]  # by storage, who has yet to use it
        for node in storages.nodes:
            for storage in storages.used(node):
                self.left[storage].add(node)
        self.known: dict[Node, int] = {}  # by node, its growth, until another last user changes it

    def choose(self, ready: set[Node], first: Node) -> Node:
        """The next node.

        Args:
            first: the one whose turn it is.
        """
        if is_alias(first) or target_of(first) is not None:
            return first
        best = min(ready, key=lambda node: (not is_alias(node), self._growth(node), self.turns[node]))
        return best if is_alias(best) or self._growth(best) <= 0 else first

    def done(self, node: Node) -> None:
        """Notes that a node ran."""
        for storage in self.storages.used(node):
            left = self.left[storage]
            left.discard(node)
            if len(left) == 1:
                self.known.pop(next(iter(left)), None)

    def _growth(self, node: Node) -> int:
        if node not in self.known:
            storages = self.storages
            freed = {s for s in storages.used(node) if s not in storages.returned and self.left[s] == {node}}
            sizes = storages.sizes
            made = sum(sizes[s] for s in storages.made[node])
            self.known[node] = made - sum(sizes[s] for s in freed)
        return self.known[node]


def _delayed(order: Order, storages: Storages, needed: dict[Node, set[Node]]) -> Order:
    """The order with every node that takes more memory than it frees just before the first that needs it."""
    uses: dict[int, int] = {}  # by storage, turn of its last use
    for turn, node in enumerate(order):
        for storage in storages.used(node):
            uses[storage] = turn
    followers: dict[Node, set[Node]] = {node: set() for node in order}
    for node, others in needed.items():
        for other in others:
            followers[other].add(node)
    result: Order = []  # from the last to the first
    for turn, node in reversed(list(enumerate(order))):
        freed = sum(
            storages.sizes[s]
            for s in storages.used(node)
            if uses[s] == turn and s not in storages.returned and s not in storages.made[node]
        )
        grows = sum(storages.sizes[s] for s in storages.made[node]) > freed
        stays = node.op == "placeholder" or target_of(node) is not None or not followers[node]
        place = len(result)
        if not stays and (grows or is_alias(node)):
            place = next(i for i in reversed(range(len(result))) if result[i] in followers[node]) + 1
        result.insert(place, node)
    return result[::-1]


def _scheduled(
    nodes: list[Node],
    needed: dict[Node, set[Node]],
    lazy: Set[Node] = frozenset(),
    thrift: _Thrift | None = None,
) -> Order:
    """A list scheduler: nodes run in the order they stand in, as soon as all they need has run.

    Args:
        needed: what has to run before each node.
        lazy: nodes that run just before the first one that needs them; where there are any, updates of
            weights run before everything else that can.
        thrift: may choose another one.
    """
    turns = {node: turn for turn, node in enumerate(nodes)}
    waiting = {node: _without(lazy, node, needed) for node in nodes if node not in lazy}
    followers: dict[Node, list[Node]] = {node: [] for node in nodes}
    for node, others in waiting.items():
        for other in others:
            followers[other].append(node)
    ready = {node for node, others in waiting.items() if not others}
    order: dict[Node, None] = {}

    def turn(node: Node) -> tuple[bool, int]:
        return not lazy or target_of(node) is None, turns[node]

    def run(node: Node) -> None:
        for other in sorted(needed[node] & lazy, key=turns.__getitem__):
            if other not in order:
                run(other)
        order[node] = None
        if thrift:
            thrift.done(node)

    while ready:
        node = min(ready, key=turn)
        if thrift:
            node = thrift.choose(ready, node)
        ready.discard(node)
        run(node)
        for follower in followers[node]:
            waiting[follower].discard(node)
            if not waiting[follower]:
                ready.add(follower)
    for node in nodes:
        if node in lazy and node not in order:
            run(node)
    if len(order) != len(nodes):
        stuck = next(node for node in nodes if node not in order)
        raise RuntimeError(f"{stuck} can't run: a weight would be written before all have read it")
    return list(order)


def _without(lazy: Set[Node], node: Node, needed: dict[Node, set[Node]]) -> set[Node]:
    """What has to run before a node, with lazy nodes replaced by what they need."""
    found: set[Node] = set()
    for other in needed[node]:
        found |= _without(lazy, other, needed) if other in lazy else {other}
    return found
