"""Dropout in a captured graph: layers again, that follow the model's mode."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.fx import GraphModule, Node

from ....upstream.layers import dropout_types
from .capture import layer_path
from .fake_quantize import FakeQuantize

_OPERATORS = (torch.ops.aten.dropout.default, torch.ops.aten.feature_dropout.default)


def put_dropouts_back(graph: GraphModule, model: nn.Module) -> None:
    """Calls the model's dropout layers again, behind what is rounded: what they scale up isn't in the range.

    Dropout that is no layer stays what it is in evaluation: nothing.
    """
    for node in list(graph.graph.nodes):
        if node.target not in _OPERATORS:
            continue
        path = layer_path(node)
        try:
            layer: Any = model.get_submodule(path)
        except AttributeError:
            layer = None
        if isinstance(layer, dropout_types()):
            graph.add_submodule(path, type(layer)(layer.p))
            _round_before(graph, node)
            with graph.graph.inserting_before(node):
                call = graph.graph.call_module(path, (node.args[0],))
            call.meta = dict(node.meta)
            node.replace_all_uses_with(call)
        else:
            node.replace_all_uses_with(node.args[0])
        graph.graph.erase_node(node)


def drop_dropouts(graph: GraphModule) -> None:
    """Leaves dropout layers out."""
    modules = dict(graph.named_modules(remove_duplicate=False))
    for node in list(graph.graph.nodes):
        if node.op == "call_module" and isinstance(modules[str(node.target)], dropout_types()):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)


def _round_before(graph: GraphModule, dropout: Node) -> None:
    """Lets a dropout's result be rounded where its argument is, if all who use it round it."""
    modules = dict(graph.named_modules(remove_duplicate=False))

    def rounds(node: Any) -> bool:
        return node.op == "call_module" and isinstance(modules[str(node.target)], FakeQuantize)

    behind = list(dropout.users)
    source = dropout.args[0]
    if not behind or not all(rounds(node) for node in behind):
        return
    kept = None if rounds(source) else behind[0]
    for node in behind:
        if node is not kept:
            node.replace_all_uses_with(dropout)
            graph.graph.erase_node(node)
    if kept is not None:
        kept.replace_all_uses_with(dropout)
        kept.args = (source,)
        dropout.args = (kept, *dropout.args[1:])
        dropout.prepend(kept)
