"""conv2d(x, P.weight, P.bias, ...) in a captured graph → a layer at P, whose weights are the same objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.fx import GraphModule, Node

from ..upstream.operators import schema_arguments
from .new_calls import call_layer

aten = torch.ops.aten
# The weight, and a call's other arguments by name → the layer that makes such calls.
_Make = Callable[[nn.Parameter, dict[str, Any]], nn.Module]


def put_weights_back(graph_module: GraphModule) -> None:
    """Replaces calls whose weights lie together and are used by nothing else."""
    calls: dict[str, list[Node]] = {}
    readers: dict[str, set[Node]] = {}
    for node in graph_module.graph.nodes:
        if node.op == "get_attr":
            readers.setdefault(str(node.target).rpartition(".")[0], set()).update(node.users)
        elif node.op == "call_function" and node.target in _LAYERS:
            weight = _arguments(node)["weight"]
            if isinstance(weight, Node) and weight.op == "get_attr":
                calls.setdefault(str(weight.target).rpartition(".")[0], []).append(node)
    for path, nodes in calls.items():
        if path and set(nodes) == readers[path]:
            _put_back(graph_module, path, nodes)


def _put_back(graph_module: GraphModule, path: str, nodes: list[Node]) -> None:
    holder = graph_module.get_submodule(path)
    held = dict(holder.named_parameters(recurse=False))
    if (
        type(holder) is not nn.Module
        or [*holder.children(), *holder.buffers(recurse=False)]
        or "weight" not in held
    ):
        return
    settings = [_settings(node) for node in nodes]
    tensors = {name: f"{path}.{name}" for name in held}
    target = nodes[0].target
    if any(node.target is not target or _tensors(node) != tensors for node in nodes):
        return
    if any(other != settings[0] or _has_nodes(other) for other in settings):
        return
    with torch.device("meta"):
        layer = _LAYERS[target](held["weight"], {**settings[0], "bias": "bias" in held})
    if {name: p.shape for name, p in layer.named_parameters()} != {n: p.shape for n, p in held.items()}:
        return
    for name, parameter in held.items():
        layer.register_parameter(name, parameter)
    for node in nodes:
        call_layer(graph_module, node, path, layer, _input(node))


def _arguments(node: Node) -> dict[str, Any]:
    """All arguments of a call by name, also those that are left out."""
    taken = schema_arguments(node.target)
    given = dict(zip([a.name for a in taken], node.args, strict=False)) | dict(node.kwargs)
    return {a.name: given.get(a.name, a.default_value) for a in taken}


def _input(node: Node) -> Node:
    x = _arguments(node)["indices" if node.target is aten.embedding.default else "input"]
    assert isinstance(x, Node)
    return x


def _tensors(node: Node) -> dict[str, str]:
    """The paths of a call's tensors by argument."""
    arguments = _arguments(node)
    named = {name: arguments.get(name) for name in ("weight", "bias")}
    return {name: str(value.target) for name, value in named.items() if isinstance(value, Node)}


def _settings(node: Node) -> dict[str, Any]:
    tensors = ("input", "indices", "weight", "bias")
    return {name: value for name, value in _arguments(node).items() if name not in tensors}


def _has_nodes(settings: dict[str, Any]) -> bool:
    lists = [value if isinstance(value, list | tuple) else [value] for value in settings.values()]
    return any(isinstance(item, Node) for values in lists for item in values)


def _convolution(kind: Any) -> _Make:
    def make(weight: nn.Parameter, settings: dict[str, Any]) -> nn.Module:
        outputs, inputs, *kernel = weight.shape
        lengths = {
            name: tuple(settings[name]) * (len(kernel) if len(settings[name]) == 1 else 1)
            for name in ("stride", "padding", "dilation")
        }
        groups = settings["groups"]
        layer: nn.Module = kind(
            inputs * groups, outputs, tuple(kernel), **lengths, groups=groups, bias=settings["bias"]
        )
        return layer

    return make


def _linear(weight: nn.Parameter, settings: dict[str, Any]) -> nn.Module:
    return nn.Linear(weight.shape[1], weight.shape[0], bias=settings["bias"])


def _embedding(weight: nn.Parameter, settings: dict[str, Any]) -> nn.Module:
    index = settings["padding_idx"]
    return nn.Embedding(
        weight.shape[0],
        weight.shape[1],
        padding_idx=None if index < 0 else index,
        scale_grad_by_freq=settings["scale_grad_by_freq"],
        sparse=settings["sparse"],
    )


def _layer_norm(weight: nn.Parameter, settings: dict[str, Any]) -> nn.Module:
    return nn.LayerNorm(list(settings["normalized_shape"]), eps=settings["eps"], bias=settings["bias"])


def _group_norm(weight: nn.Parameter, settings: dict[str, Any]) -> nn.Module:
    return nn.GroupNorm(settings["num_groups"], len(weight), eps=settings["eps"])


_LAYERS: dict[Any, _Make] = {
    aten.conv1d.default: _convolution(nn.Conv1d),
    aten.conv2d.default: _convolution(nn.Conv2d),
    aten.conv3d.default: _convolution(nn.Conv3d),
    aten.linear.default: _linear,
    aten.embedding.default: _embedding,
    aten.layer_norm.default: _layer_norm,
    aten.group_norm.default: _group_norm,
}
