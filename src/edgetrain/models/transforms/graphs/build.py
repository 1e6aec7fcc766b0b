"""A graph from its record. Nothing that a record names is imported or evaluated, or looked up unchecked."""

from __future__ import annotations

import keyword
import math
import re
from typing import Any

import torch
from torch import nn
from torch.fx import Graph as FxGraph
from torch.fx import GraphModule, Node

from ....artifacts.transforms import Graph, GraphStep
from ....errors import InputError
from ..layers import build_layer
from ..traced_forward import TracedModule
from .operators import check_arguments, operator_named
from .values import decode

# torch.fx writes the graph as Python code, so that names must be nothing else in it, nor hide what it uses.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_PART = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}|\d{1,6}")
_USED = {"self", "torch", "operator", "_operator", "math", "inf", "nan", "device", "getattr", "slice"}
# Numbers in parameters and buffers: 8 GiB of float32, which no model for a device has.
_LARGEST = 2**31
LAYER = "layer "


def build_graph(record: Graph) -> TracedModule:
    """The model of a record, with initial values in its layers and zeros in its other tensors.

    Raises:
        InputError: the record is no graph that a checkpoint's model may be.
    """
    root = _with_tensors(record)
    graph = FxGraph()
    builder = _Builder(graph, root, set(record.layers))
    for name in record.inputs:
        builder.add(name, graph.placeholder(_checked_name(name)))
    for step in record.steps:
        builder.call(step)
    graph.output(decode(record.outputs, builder.find))
    frozen = set(record.frozen)
    for name, parameter in root.named_parameters():
        parameter.requires_grad_(parameter.is_floating_point() and name not in frozen)
    return TracedModule(root, graph, "Graph")


class _Builder:
    """Adds one call after the other."""

    def __init__(self, graph: FxGraph, root: nn.Module, layers: set[str]) -> None:
        self.graph, self.layers = graph, layers
        self.values: dict[str, Node] = {}
        self.known = {name for name, _ in (*root.named_parameters(), *root.named_buffers())}
        self.read: dict[str, Node] = {}

    def add(self, name: str, node: Node) -> None:
        """Enters a result under its name."""
        if name in self.values:
            raise InputError(f"a graph has two values called {name}")
        self.values[name] = node

    def find(self, reference: str) -> Node:
        """The node that `%NAME` or `@PATH` stands for."""
        kind, name = reference[:1], reference[1:]
        if kind == "%" and name in self.values:
            return self.values[name]
        if kind == "@" and name in self.known:
            if name not in self.read:
                self.read[name] = self.graph.get_attr(name)
            return self.read[name]
        raise InputError(f"a graph uses {reference!r:.80}, which it doesn't have, or not yet")

    def call(self, step: GraphStep) -> None:
        """Adds a call."""
        name = _checked_name(step.name)
        args = decode(step.args, self.find)
        kwargs = {key: decode(value, self.find) for key, value in step.kwargs.items()}
        if step.calls.startswith(LAYER):
            path = step.calls.removeprefix(LAYER)
            if path not in self.layers or kwargs or len(args) != 1 or not isinstance(args[0], Node):
                raise InputError(f"a graph calls {path!r:.80}, which it doesn't have, or not with one value")
            self.add(name, self.graph.create_node("call_module", path, tuple(args), name=name))
            return
        function = operator_named(step.calls)
        check_arguments(step.calls, function, args, kwargs)
        self.add(name, self.graph.create_node("call_function", function, tuple(args), kwargs, name=name))


def is_name(name: str) -> bool:
    """Whether a value of a graph may be called that."""
    return _NAME.fullmatch(name) is not None and not keyword.iskeyword(name) and name not in _USED


def _checked_name(name: str) -> str:
    if not is_name(name):
        raise InputError(f"a graph has a value called {name!r:.80}, which is no name for one")
    return name


def _with_tensors(record: Graph) -> nn.Module:
    """The module with all layers and tensors."""
    # First without memory, of which a record could ask for any amount.
    sizes = [math.prod(tensor.shape) for tensor in record.tensors.values()]
    with torch.device("meta"):
        for path, layer in record.layers.items():
            if layer.layers:
                raise InputError(f"{path} of a graph has layers inside, which a graph calls one by one")
            built = build_layer(layer)
            sizes += [tensor.numel() for tensor in (*built.parameters(), *built.buffers())]
    if sum(sizes) > _LARGEST:
        raise InputError(f"a graph has more than {_LARGEST} numbers in its tensors, which is refused")
    root = nn.Module()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for path, layer in record.layers.items():
            owner, name = _place(root, path)
            owner.add_module(name, build_layer(layer))
    for path, tensor in record.tensors.items():
        owner, name = _place(root, path)
        values = torch.zeros(tensor.shape, dtype=getattr(torch, tensor.dtype))
        if tensor.kind == "parameter":
            owner.register_parameter(name, nn.Parameter(values, requires_grad=values.is_floating_point()))
        else:
            owner.register_buffer(name, values)
    return root


def _place(root: nn.Module, path: str) -> tuple[nn.Module, str]:
    """The module that a tensor or layer belongs to, made where it is missing, and its name there."""
    *parents, last = path.split(".")
    owner: Any = root
    for part in parents:
        _check_part(part, path)
        if not hasattr(owner, part):
            owner.add_module(part, nn.Module())
        elif part not in dict(owner.named_children()):
            raise InputError(f"a graph has a part called {path}, which lies in a tensor")
        owner = owner.get_submodule(part)
    _check_part(last, path)
    # Also where it is something that every module has, or a tensor of a layer.
    if type(owner) is not nn.Module or hasattr(owner, last):
        raise InputError(f"a graph has two parts called {path}, or one that can't be called that")
    return owner, last


def _check_part(part: str, path: str) -> None:
    if not _PART.fullmatch(part) or keyword.iskeyword(part) or hasattr(GraphModule, part):
        raise InputError(f"a graph has a part called {path!r:.80}, which is no name for one")
