"""A layer in place of a call of a function or method."""

from __future__ import annotations

from torch import nn
from torch.fx import Node

from ...artifacts.transforms import ReplacedCall
from ...errors import InputError
from .new_layer import make_layer, put_layer
from .traced_forward import TracedModule, Untraceable, called, find_node, trace_forward


def replace_call(model: nn.Module, record: ReplacedCall) -> nn.Module:
    """Makes the module's forward a graph, unless it is one, and calls a new layer in it.

    Raises:
        InputError: the module's forward is not what it was.
    """
    owner = model.get_submodule(record.module)
    if not isinstance(owner, TracedModule):
        try:
            graph = trace_forward(owner).graph
        except Untraceable as error:
            raise InputError(f"{record.module or 'the model'} can't be changed again: {error}") from error
        owner = TracedModule(owner, graph, type(owner).__name__)
        model = put_layer(model, record.module, owner)
    node = find_node(owner.graph, record.node)
    if node is None or called(node) != record.was or hasattr(owner, record.name):
        raise InputError(
            f"the forward of {record.module or 'the model'} has changed since its call of {record.was} was "
            "replaced"
        )
    source = first_argument(node) if record.of is None else find_node(owner.graph, record.of)
    if source is None:
        raise InputError(f"the forward of {record.module or 'the model'} has no value called {record.of}")
    path = f"{record.module}.{record.name}".lstrip(".")
    owner.add_module(record.name, make_layer(path, record.by, owner, model))
    with owner.graph.inserting_before(node):
        call = owner.graph.call_module(record.name, (source,))
    node.replace_all_uses_with(call)
    _erase_unused(node)
    owner.recompile()
    return model


def first_argument(node: Node) -> Node | None:
    """What a call is about: its first argument, or the one called `input`."""
    first = node.args[0] if node.args else node.kwargs.get("input")
    return first if isinstance(first, Node) else None


def _erase_unused(node: Node) -> None:
    """Erases a call, and those that were made for it alone. Layers stay, and what changes a tensor."""
    if node.users or node.op not in ("call_function", "call_method", "get_attr") or _changes_tensor(node):
        return
    needed = node.all_input_nodes
    node.graph.erase_node(node)
    for other in needed:
        _erase_unused(other)


def _changes_tensor(node: Node) -> bool:
    name = called(node).rpartition(".")[2]
    return name.endswith("_") and not name.endswith("__")
