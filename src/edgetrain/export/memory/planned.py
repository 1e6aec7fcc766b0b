"""What a lowered and planned graph says: whether its places are right, and what lives when."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

from executorch.exir import memory
from executorch.exir.memory_planning import get_node_tensor_specs
from torch.export.graph_signature import OutputKind
from torch.fx import GraphModule, Node

from ...artifacts.memory import Kind
from ...upstream.edge import storage_of
from ..module_paths import module_path
from ..passes.onto import target_of
from .placement import Interval, lower_bound
from .timeline import LiveTensor, MemoryTimeline, Step

# The arena of activations.
_ACTIVATIONS = 1
_NOT_RUN = (memory.alloc, memory.view, memory.free, operator.getitem)


def interval_of(spec: Any) -> Interval:
    """When a tensor spec's memory is needed, counted in nodes of its graph."""
    start, end = spec.lifetime
    return Interval(start, end, spec.allocated_memory)


def check_places(graph_module: GraphModule) -> None:
    """Sees to it that tensors of one time have places of their own.

    Raises:
        RuntimeError: two of them overlap.
    """
    living: list[Any] = []
    for spec in sorted(_storages(graph_module), key=lambda spec: spec.lifetime[0]):
        living = [other for other in living if other.lifetime[1] >= spec.lifetime[0]]
        for other in living:
            end, other_end = (s.mem_offset + s.allocated_memory for s in (spec, other))
            if spec.mem_offset < other_end and other.mem_offset < end:
                raise RuntimeError(f"memory planning put {spec.debug()} over {other.debug()}")
        living.append(spec)


def check_contents(graph_module: GraphModule) -> None:
    """Sees to it that everything is read before something else is written into its place, where several
    tensors lie in one on purpose: results in arguments' memory, updates in weights'.

    Raises:
        RuntimeError: something would be read too late.
    """
    written: dict[int, int] = {}
    contents: dict[Node, list[tuple[int, int] | None]] = {}
    for node in graph_module.graph.nodes:
        if node.op == "output" or node.target is memory.alloc:
            continue
        if node.target is memory.view:
            contents[node] = contents[node.args[0]]
            continue
        if node.target is operator.getitem:
            source, index = node.args
            if source.target is memory.alloc:  # a list of tensors, which an operator has written into
                place = id(storage_of(source.meta["spec"][index])[0])
                contents[node] = [(place, written[place])]
            else:
                contents[node] = [contents[source][index]]
            continue
        for given in node.all_input_nodes:
            for held in contents.get(given, ()):
                if held is not None and written[held[0]] != held[1]:
                    raise RuntimeError(f"{node} would read {given} after something else was written there")
        results = node.meta.get("spec")
        contents[node] = []
        for spec in results if isinstance(results, (list, tuple)) else [results]:
            if not hasattr(spec, "storage_base"):
                contents[node].append(None)
                continue
            place = id(storage_of(spec)[0])
            written[place] = written.get(place, 0) + 1
            contents[node].append((place, written[place]))


def timeline_of(method: str, graph_module: GraphModule, signature: Any) -> MemoryTimeline:
    """What lives when in a planned graph."""
    steps: list[Step] = []
    begins: list[int] = []  # by node, the number of steps that run before it
    for node in graph_module.graph.nodes:
        begins.append(len(steps))
        if node.op == "call_function" and node.target not in _NOT_RUN:
            steps.append(_step(node))
    makers, kinds = _makers(graph_module), _kinds(graph_module, signature)
    tensors = []
    for spec in _storages(graph_module):
        first, last = (min(begins[at], max(len(steps) - 1, 0)) for at in spec.lifetime)
        tensors.append(
            LiveTensor(
                maker=_step(makers[id(spec)]),
                kind=kinds[id(spec)],
                shape=tuple(spec.shape),
                dtype=str(spec.dtype).removeprefix("torch."),
                bytes=spec.allocated_memory,
                first=first,
                last=last,
            )
        )
    return MemoryTimeline(
        method=method,
        steps=tuple(steps),
        tensors=tuple(sorted(tensors, key=lambda tensor: tensor.first)),
        bound=lower_bound(interval_of(spec) for spec in _storages(graph_module)),
        arena=graph_module.meta["non_const_buffer_sizes"][_ACTIVATIONS],
    )


def _storages(graph_module: GraphModule) -> list[Any]:
    """Tensor specs of the activations' arena that have a place of their own, in the order of the graph."""
    found: dict[int, Any] = {}
    for node in graph_module.graph.nodes:
        # The output node may have specs of its own for buffers that were written, which nothing writes into.
        for spec in get_node_tensor_specs(node) if node.op != "output" else ():
            owner = storage_of(spec)[0]
            if owner.mem_id == _ACTIVATIONS:
                found.setdefault(id(owner), owner)
    return list(found.values())


def _step(node: Node) -> Step:
    parts = str(node.target).split(".")
    return Step(parts[1] if len(parts) > 2 else node.name, module_path(node))


def _runs(graph_module: GraphModule) -> Iterator[Node]:
    """Inputs and operators."""
    for node in graph_module.graph.nodes:
        if node.op in ("placeholder", "call_function") and node.target not in _NOT_RUN:
            yield node


def _makers(graph_module: GraphModule) -> dict[int, Node]:
    """By storage, the first node that writes into it."""
    makers: dict[int, Node] = {}
    for node in _runs(graph_module):
        for storage in _held(node):
            makers.setdefault(storage, node)
    return makers


def _kinds(graph_module: GraphModule, signature: Any) -> dict[int, Kind]:
    """By storage, what it is for."""
    forward = _forward(graph_module, signature)
    gradients: set[Node] = set()
    kinds: dict[int, Kind] = {}
    made_in_forward: set[int] = set()
    for node in graph_module.graph.nodes:
        if node.op == "call_function" and node not in forward and _is_gradient(node, gradients):
            gradients.add(node)
    for node in _runs(graph_module):
        kind: Kind = "input" if node.op == "placeholder" else "gradient" if node in gradients else "temporary"
        for storage in _held(node):
            if storage not in kinds and node.op == "call_function" and node in forward:
                made_in_forward.add(storage)
            kinds.setdefault(storage, kind)
        if node not in forward:
            read = {storage for given in node.all_input_nodes for storage in _held(given)}
            kinds.update(dict.fromkeys(read & made_in_forward, "saved"))
    return kinds


def _held(node: Node) -> set[int]:
    """Storages that a node's value lies in."""
    if node.target is memory.alloc:
        return set()
    return {id(storage_of(spec)[0]) for spec in get_node_tensor_specs(node)}


def _forward(graph_module: GraphModule, signature: Any) -> set[Node]:
    """What loss, predictions and metrics depend on."""
    kinds = [spec.kind for spec in signature.output_specs]
    outputs: Any = graph_module.graph.output_node().args[0]
    others = (OutputKind.GRADIENT_TO_PARAMETER, OutputKind.GRADIENT_TO_USER_INPUT, OutputKind.TOKEN)
    open_ends = [
        node
        for node, kind in zip(outputs, kinds, strict=True)
        if isinstance(node, Node) and kind not in others and target_of(node) is None
    ]
    found: set[Node] = set()
    while open_ends:
        node = open_ends.pop()
        if node not in found:
            found.add(node)
            open_ends.extend(node.all_input_nodes)
    return found


def _is_gradient(node: Node, gradients: set[Node]) -> bool:
    """Whether a node of the backward graph depends on what that begins with, a constant; the others are
    functions of activations and weights."""
    given = [other for other in node.all_input_nodes if _held(other)]
    return not given or any(other in gradients for other in given)
