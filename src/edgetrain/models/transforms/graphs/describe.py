"""A captured graph as plain data."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from ....artifacts.transforms import Graph, GraphStep, GraphTensor, Layer
from ....upstream.values import output_structure
from ..layers import describe_layer
from .build import LAYER, is_name
from .operators import name_of_operator
from .values import NotPlainError, encode

aten = torch.ops.aten
# They compute nothing, and hold for the example that they were captured with.
_CHECKS = (
    aten._assert_tensor_metadata.default,
    aten._assert_scalar.default,
    aten._assert_async.msg,
    aten.sym_constrain_range.default,
    aten.sym_constrain_range_for_size.default,
)


def describe_graph(module: GraphModule, inputs: Sequence[str] = ()) -> tuple[Graph, dict[str, Tensor]]:
    """A graph as plain data, from which `build_graph` makes one that computes the same.

    Args:
        inputs: other names for those that the graph takes, in its order.
    Returns:
        the record, and the values of its tensors by name, as the built module's state has them.
    Raises:
        NotPlainError: something in it can't be written down, or not be called by a checkpoint's model.
    """
    description = _Description(module, inputs)
    for node in module.graph.nodes:
        if node.op == "output":
            outputs = encode(output_structure(module.graph, node), description.reference)
        else:
            description.add(node)
    record = Graph(
        inputs=tuple(description.inputs),
        tensors=description.tensors,
        layers=description.layers,
        frozen=tuple(description.frozen),
        steps=tuple(description.steps),
        outputs=outputs,
    )
    return record, description.state


class _Description:
    """What has been written down of a graph."""

    def __init__(self, module: GraphModule, inputs: Sequence[str]) -> None:
        self.module = module
        self._names = iter(inputs)
        self._taken: set[str] = set()
        self.inputs: list[str] = []
        self.tensors: dict[str, GraphTensor] = {}
        self.layers: dict[str, Layer] = {}
        self.frozen: list[str] = []
        self.steps: list[GraphStep] = []
        self.state: dict[str, Tensor] = {}
        self._references: dict[Node, str] = {}
        self._paths: dict[int, str] = {}
        for path in dict.fromkeys(str(n.target) for n in module.graph.nodes if n.op == "call_module"):
            self._add_layer(path)

    def reference(self, node: Node) -> str:
        """How a node's value is referred to."""
        return self._references[node]

    def add(self, node: Node) -> None:
        """Writes a node down."""
        if node.op == "placeholder":
            name = self._new_name(next(self._names, str(node.target)))
            self.inputs.append(name)
            self._references[node] = f"%{name}"
        elif node.op == "get_attr":
            self._references[node] = f"@{self._tensor_path(node)}"
        elif node.target not in _CHECKS:
            name = self._new_name(node.name)
            self._references[node] = f"%{name}"
            self.steps.append(
                GraphStep(
                    name=name,
                    calls=self._called(node),
                    args=[encode(value, self.reference) for value in node.args],
                    kwargs={
                        name: encode(value, self.reference)
                        for name, value in node.kwargs.items()
                        if name not in _LEFT_OUT
                    },
                )
            )

    def _new_name(self, name: str) -> str:
        """The name, or one like it where it is taken or none."""
        while name in self._taken or not is_name(name):
            name = f"{name}_" if name.isidentifier() else f"value_{len(self._taken)}"
        self._taken.add(name)
        return name

    def _called(self, node: Node) -> str:
        if node.op == "call_module":
            return f"{LAYER}{node.target}"
        name = name_of_operator(node.target) if node.op == "call_function" else None
        if name is None:
            raise NotPlainError(f"it calls {node.target}")
        return name

    def _tensor_path(self, node: Node) -> str:
        """The name of a tensor, the first one where it has several."""
        path = str(node.target)
        parent, _, name = path.rpartition(".")
        tensor = getattr(self.module.get_submodule(parent), name)
        if not isinstance(tensor, Tensor):
            raise NotPlainError(f"it has a {type(tensor).__name__} in it, called {path}")
        if id(tensor) not in self._paths:
            self._paths[id(tensor)] = path
            self._add_tensor(path, tensor)
        return self._paths[id(tensor)]

    def _add_tensor(self, path: str, tensor: Tensor) -> None:
        is_parameter = isinstance(tensor, nn.Parameter)
        try:
            self.tensors[path] = GraphTensor.model_validate(
                {
                    "shape": tuple(tensor.shape),
                    "dtype": str(tensor.dtype).removeprefix("torch."),
                    "kind": "parameter" if is_parameter else "buffer",
                }
            )
        except ValueError as error:
            raise NotPlainError(f"it has a tensor of {tensor.dtype} in it") from error
        if is_parameter and not tensor.requires_grad:
            self.frozen.append(path)
        self.state[path] = tensor.detach()

    def _add_layer(self, path: str) -> None:
        layer = self.module.get_submodule(path)
        try:
            self.layers[path] = describe_layer(layer)
        except ValueError as error:
            raise NotPlainError(f"it has a {type(layer).__name__} in it, called {path}") from error
        for name, tensor in layer.state_dict(keep_vars=True, prefix=f"{path}.").items():
            self._paths[id(tensor)] = name
            self.state[name] = tensor.detach()
            if isinstance(tensor, nn.Parameter) and not tensor.requires_grad:
                self.frozen.append(name)


# A graph's tensors are made where the model is.
_LEFT_OUT = ("device", "pin_memory")
