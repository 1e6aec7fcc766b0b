"""How much noise the rounding of each layer makes: which layer hurts most."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node

from ...errors import UsageError
from ...models.transforms.observed.capture import layer_path
from ...models.transforms.observed.model import ObservedModel, int8_module
from ...upstream.node_keys import MODULE_STACK
from ...upstream.values import leaves

# What passes on the values it is given: rounding behind it belongs to the layer before.
_ACTIVATIONS = {"relu", "relu_", "hardtanh", "hardtanh_", "clamp"}
_SHAPES = {
    "flatten",
    "view",
    "reshape",
    "permute",
    "transpose",
    "squeeze",
    "unsqueeze",
    "slice",
    "select",
    "flip",
}
_PASSES = _ACTIVATIONS | _SHAPES | {"max_pool1d", "max_pool2d", "dropout", "contiguous", "clone"}
_LAYERS = ("torch.nn.modules.conv.", "torch.nn.modules.linear.")


@dataclass(frozen=True)
class LayerNoise:
    """What rounding does at one layer. SQNR is signal to quantization noise [dB]; infinite without noise.

    Attributes:
        name: the layer, or the module and the operation in it, such as `blocks.0 (add)`; `input` is the
            rounding of what the model is given.
        weights: how many are rounded.
        alone_db: SQNR of the model's output with this layer rounded, and nothing else.
        inside_db: SQNR of the layer's own output in the model that is rounded everywhere.
    """

    name: str
    weights: int
    alone_db: float
    inside_db: float


@dataclass
class _Group:
    """What is rounded at one layer.

    Attributes:
        at: the layer's operation.
        output: the value that it gives to others.
    """

    at: Node
    rounding: set[Node] = field(default_factory=set)
    weights: int = 0
    output: Node | None = None


@torch.no_grad()
def layer_noise(model: nn.Module, samples: Sequence[Tensor], *, batch: int = 8) -> list[LayerNoise]:
    """Compares a model that is rounded in part, and everywhere, with one that isn't.

    Takes one run over the samples for each layer.

    Args:
        model: an `ObservedModel`, or what `post_training(..., fold=False)` gives.
        samples: [N, ...] for each input, in the model's order.
        batch: samples per run, which is what is kept in memory at once.
    Returns:
        the layers in the graph's order.
    Raises:
        UsageError: nothing is rounded in the model.
    """
    graph = int8_module(model, fold=False) if isinstance(model, ObservedModel) else model
    groups = _groups(graph) if isinstance(graph, GraphModule) else {}
    if not groups:
        raise UsageError("nothing in the model is rounded: layers are compared before weights become int8")
    assert isinstance(graph, GraphModule)
    everything = set().union(*(group.rounding for group in groups.values()))
    outputs = {group.output for group in groups.values() if group.output is not None}
    alone = {name: _Ratio() for name in groups}
    inside = {name: _Ratio() for name in groups}
    for part in _batches(samples, batch):
        exact = _Run(graph, (), outputs)
        expected = _flat(exact.run(*part))
        rounded = _Run(graph, everything, outputs)
        rounded.run(*part)
        for name, group in groups.items():
            alone[name].add(expected, _flat(_Run(graph, group.rounding).run(*part)))
            if group.output is not None:
                inside[name].add(exact.seen[group.output], rounded.seen[group.output])
    return [
        LayerNoise(name, group.weights, alone[name].decibels, inside[name].decibels)
        for name, group in groups.items()
    ]


class _Ratio:
    """Signal and noise, added up."""

    def __init__(self) -> None:
        self._signal = self._noise = 0.0

    def add(self, expected: Tensor, found: Tensor) -> None:
        self._signal += expected.double().square().sum().item()
        self._noise += (expected.double() - found.double()).square().sum().item()

    @property
    def decibels(self) -> float:
        if not self._noise:
            return math.inf
        return 10 * math.log10(self._signal / self._noise) if self._signal else -math.inf


class _Run(Interpreter):
    """Runs a graph with some of its rounding, and keeps some of its values."""

    def __init__(self, graph: GraphModule, on: Collection[Node], kept: Collection[Node] = ()) -> None:
        super().__init__(graph)
        self._on, self._kept = on, kept
        self.seen: dict[Node, Tensor] = {}

    def run_node(self, n: Node) -> Any:
        given = self.env.get(n.args[0]) if n.args and isinstance(n.args[0], Node) else None
        left_out = _rounds(n) and n not in self._on
        not_rounded = _restores(n) and isinstance(given, Tensor) and given.is_floating_point()
        value: Any = given if left_out or not_rounded else super().run_node(n)
        if n in self._kept:
            self.seen[n] = value
        return value


def _groups(graph: GraphModule) -> dict[str, _Group]:
    """Layers, and what is rounded at each, in the graph's order."""
    found: dict[str, _Group] = {}
    constants = _constants(graph)
    for node in graph.graph.nodes:
        if not _rounds(node):
            continue
        restored = [user for user in node.users if _restores(user)]
        if node.args[0] in constants:
            users = [user for value in restored for user in value.users]
            if not users:
                continue
            group = found.setdefault(_name(users[0]), _Group(users[0]))
            group.weights += math.prod(node.args[0].meta["val"].shape)
            group.output = group.output or users[0]
        else:
            source = _source(node)
            group = found.setdefault(_name(source), _Group(source))
            if restored and group.output in (None, group.at):
                group.output = restored[0]
        group.rounding.add(node)
    order = {node: index for index, node in enumerate(graph.graph.nodes)}
    return dict(sorted(found.items(), key=lambda item: order[item[1].at]))


def _constants(graph: GraphModule) -> set[Node]:
    """Nodes that don't depend on what the model is given."""
    found: set[Node] = set()
    for node in graph.graph.nodes:
        if node.op == "get_attr" or (
            node.op == "call_function" and node.all_input_nodes and found.issuperset(node.all_input_nodes)
        ):
            found.add(node)
    return found


def _source(node: Node) -> Node:
    """The operation whose result is rounded."""
    while _operation(node) in _PASSES or _rounds(node) or _restores(node):
        previous = node.args[0]
        if not isinstance(previous, Node):
            break
        node = previous
    return node


def _name(node: Node) -> str:
    if node.op == "placeholder":
        return "input"
    stack: Mapping[str, Any] = node.meta.get(MODULE_STACK) or {}
    path = layer_path(node)
    kind = str(list(stack.values())[-1][1]) if stack else ""
    if path and any(prefix in kind for prefix in _LAYERS):
        return path
    return f"{path} ({_operation(node)})".strip()


def _operation(node: Node) -> str:
    """`conv2d`, `add`, ...; empty where a node is no operator's."""
    packet = getattr(node.target, "overloadpacket", None)
    return str(packet).rpartition(".")[2] if packet is not None else ""


def _rounds(node: Node) -> bool:
    return node.op == "call_function" and _operation(node).startswith("quantize_")


def _restores(node: Node) -> bool:
    return node.op == "call_function" and _operation(node).startswith("dequantize_")


def _batches(samples: Sequence[Tensor], batch: int) -> Iterator[list[Tensor]]:
    """All samples, `batch` at a time; the last batch has as many as remain."""
    for parts in zip(*(tensor.split(batch) for tensor in samples), strict=True):
        yield list(parts)


def _flat(value: Any) -> Tensor:
    """All numbers that a model gives."""
    tensors = [leaf for leaf in leaves(value) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    return torch.cat([tensor.flatten() for tensor in tensors])
