"""Squeeze-excite and its kin, x · gate(pool(x)) → nothing."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.fx import Graph, Node

from ...models.transforms.traced_forward import called, has_own_forward
from .activations import known_activation
from .calls import function_name, layer_of_call
from .changes import Place

_GATES = (nn.Sigmoid, nn.Hardsigmoid)
_POOLS = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d)
_PRODUCTS = ("operator.mul", "operator.imul", "torch.mul", "torch.Tensor.mul", "torch.Tensor.mul_")
_SHAPES = (
    "view",
    "reshape",
    "expand",
    "expand_as",
    "unsqueeze",
    "flatten",
    "contiguous",
    "permute",
    "transpose",
)


def identity_instead(place: Place) -> nn.Module | None:
    """Nothing, for a module that returns its input times a gate computed from its pooled input."""
    module = place.module
    if module is None or not has_own_forward(module):
        return None
    graph = place.changes.trace(module).graph
    return nn.Identity() if graph is not None and _is_gated(module, graph) else None


def _is_gated(module: nn.Module, graph: Graph) -> bool:
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    product = next(iter(reversed(graph.nodes))).args[0]
    if len(inputs) != 1 or not isinstance(product, Node) or called(product) not in _PRODUCTS:
        return False
    factors = [node for node in product.args if isinstance(node, Node)]
    if len(factors) != 2 or inputs[0] not in factors:
        return False
    gate = _before_reshaping(factors[0] if factors[1] is inputs[0] else factors[1])
    if not isinstance(_last_layer(module, gate), _GATES):
        return False
    return any(_pools(module, node) for node in _needed(gate))


def _before_reshaping(node: Node) -> Node:
    while (
        function_name(called(node)) in _SHAPES or called(node) == "operator.getitem"
    ) and node.all_input_nodes:
        node = node.all_input_nodes[0]
    return node


def _last_layer(module: nn.Module, node: Node) -> nn.Module | None:
    """What computes a value, as a layer of PyTorch."""
    if node.op != "call_module":
        return layer_of_call(node)
    layer = module.get_submodule(str(node.target))
    while isinstance(layer, nn.Sequential) and len(layer):
        layer = layer[-1]
    return layer if type(layer) in _GATES else known_activation(layer)


def _needed(node: Node) -> Iterator[Node]:
    seen, waiting = set(), [node]
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting += node.all_input_nodes
            yield node


def _pools(module: nn.Module, node: Node) -> bool:
    """Whether a node makes one value of a whole map."""
    if node.op == "call_module":
        return any(isinstance(part, _POOLS) for part in module.get_submodule(str(node.target)).modules())
    if function_name(called(node)) == "mean":
        return True
    return isinstance(layer_of_call(node), _POOLS)
