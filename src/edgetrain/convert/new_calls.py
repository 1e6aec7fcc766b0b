"""A layer in place of a call in a captured graph."""

from __future__ import annotations

from torch import nn
from torch.fx import GraphModule, Node


def call_layer(graph_module: GraphModule, node: Node, name: str, layer: nn.Module, x: Node) -> None:
    """Puts a layer into the module, in place of what is there, and calls it on `x` where the node was."""
    parent, _, last = name.rpartition(".")
    setattr(graph_module.get_submodule(parent), last, layer)
    with graph_module.graph.inserting_before(node):
        call = graph_module.graph.call_module(name, (x,))
    call.meta = dict(node.meta)
    node.replace_all_uses_with(call)
    graph_module.graph.erase_node(node)
