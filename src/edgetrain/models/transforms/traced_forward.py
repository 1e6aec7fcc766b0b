"""A module's own forward as a `torch.fx` graph in which its layers are calls, so that others can be changed.

Each module is traced by itself. So layers keep their paths, whoever can't be traced leaves the others alone,
and only modules in which something was changed become graph modules.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.fx import Graph, GraphModule, Node, Tracer
from torch.fx.graph_module import reduce_graph_module
from torch.fx.node import map_arg

from ...upstream.layers import copy_registrations, has_hooks

# Functions with an argument `training`, which tracing makes a constant.
_DROPOUTS = ("dropout", "alpha_dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout")


class Untraceable(Exception):  # noqa: N818 - a reason that is told, not an error
    """A forward can't be written as a graph that is always right; says why.

    Attributes:
        graph: what it is in evaluation, if that is known.
    """

    def __init__(self, reason: str, graph: Graph | None = None) -> None:
        super().__init__(reason)
        self.graph = graph


@dataclass(frozen=True)
class Trace:
    """A forward as a graph.

    Attributes:
        graph: as it is in evaluation.
        by_mode: nodes of dropouts that follow the module's mode. They are constants in the graph, and have to
            be replaced by layers before it is used.
    """

    graph: Graph
    by_mode: tuple[str, ...] = ()


class TracedModule(GraphModule):
    """A module whose forward is a graph. It has all parameters, buffers and layers of the module that was
    traced, under their names and in their order, also those that the graph doesn't use."""

    def __init__(self, module: nn.Module, graph: Graph, name: str) -> None:
        """
        Args:
            module: whose parts it takes, without copying them.
            graph: its forward.
            name: what it is called when it is printed.
        """
        super().__init__(module, graph, class_name=name)
        copy_registrations(module, self)
        self.training = module.training

    def __deepcopy__(self, memo: dict[int, Any]) -> TracedModule:
        parts = copy.deepcopy(self._parts(), memo)
        copied = TracedModule(parts, copy.deepcopy(self.graph), type(self).__name__)
        memo[id(self)] = copied
        return copied

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        _, arguments = super().__reduce__()
        return _unpickle, (self._parts(), *arguments, type(self).__name__)

    def _parts(self) -> nn.Module:
        parts = nn.Module()
        copy_registrations(self, parts)
        parts.training = self.training
        return parts


def _unpickle(parts: nn.Module, body: dict[str, Any], imports: str, name: str) -> TracedModule:
    read = reduce_graph_module(body, imports)
    assert isinstance(read, GraphModule)
    return TracedModule(parts, read.graph, name)


def has_own_forward(module: nn.Module) -> bool:
    """Whether there is code to be traced: not that of PyTorch's layers, nor of a `Sequential` of any kind."""
    if type(module).forward is nn.Sequential.forward or isinstance(module, nn.ModuleList | nn.ModuleDict):
        return False
    return type(module).__module__.partition(".")[0] != "torch" or isinstance(module, GraphModule)


def trace_forward(module: nn.Module) -> Trace:
    """The forward of a module as a graph.

    Raises:
        Untraceable: fx can't trace it, or the graph would only be right in one mode, or for some arguments.
    """
    if isinstance(module, GraphModule):
        return Trace(module.graph)
    if has_hooks(module):
        raise Untraceable("it has hooks, which a graph would not call")
    if "forward" in vars(module):
        raise Untraceable("its forward was put in place of that of its class")
    parameters = list(inspect.signature(module.forward).parameters.values())
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        raise Untraceable("its forward takes any number of arguments")
    graph, while_training = _traced(module, training=False), _traced(module, training=True)
    if _computed(graph) != _computed(while_training):
        raise Untraceable("its forward does something else while training", graph)
    by_mode = tuple(
        node.name
        for node, other in zip(graph.nodes, while_training.nodes, strict=True)
        if _is_dropout(node) and _training(node) != _training(other)
    )
    for parameter in parameters[1:]:
        values = [None] if parameter.default is parameter.empty else [None, parameter.default]
        for value in values:
            fixed = {parameter.name: value}
            try:
                other_graph = _traced(module, training=False, fixed=fixed)
            except Untraceable:
                continue  # this is nothing that the argument can be
            if _computed(graph, fixed) != _computed(other_graph):
                raise Untraceable(f"its forward depends on whether '{parameter.name}' is given", graph)
    return Trace(graph, by_mode)


def called(node: Node) -> str:
    """What a node calls, as in `torch.nn.functional.relu6`, `torch.Tensor.sigmoid` or `operator.mul`; "" for
    what is no call of a function or method."""
    if node.op == "call_method":
        return f"torch.Tensor.{node.target}"
    return name_of(node.target) if node.op == "call_function" else ""


def name_of(function: Any) -> str:
    """The public name of a function."""
    home = getattr(function, "__module__", None) or "torch"
    home = {"torch._C._nn": "torch.nn.functional", "_operator": "operator"}.get(home, home)
    return f"{home}.{getattr(function, '__name__', type(function).__name__)}"


def find_node(graph: Graph, name: str) -> Node | None:
    """The node of that name."""
    return next((node for node in graph.nodes if node.name == name), None)


@contextmanager
def mode_set(module: nn.Module, training: bool) -> Iterator[None]:
    """A module, and all in it, in training or evaluation mode for a while."""
    before = [(part, part.training) for part in module.modules()]
    for part, _ in before:
        part.training = training
    try:
        yield
    finally:
        for part, mode in before:
            part.training = mode


class OwnCode(Tracer):
    """Takes every layer for a call, and some arguments of forward for given values."""

    def __init__(self, fixed: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.fixed = fixed or {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True

    def create_proxy(self, kind: str, target: Any, *args: Any, **kwargs: Any) -> Any:
        if kind == "placeholder" and target in self.fixed:
            return self.fixed[target]
        return super().create_proxy(kind, target, *args, **kwargs)


def _traced(module: nn.Module, training: bool, fixed: dict[str, Any] | None = None) -> Graph:
    with mode_set(module, training):
        try:
            graph = OwnCode(fixed).trace(module)
        except Exception as error:  # the model's code runs on stand-ins, and may fail in any way
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise Untraceable(f"torch.fx can't trace its forward ({reason})") from error
    for node in graph.nodes:
        node.type = None  # annotations that are text can't be pickled
    return graph


def _computed(graph: Graph, fixed: dict[str, Any] | None = None) -> list[tuple[str, str, str]]:
    """What a graph computes, for comparing; the mode of dropouts is left out.

    Args:
        fixed: values to see in place of arguments of forward.
    """
    places: dict[Node, Any] = {}
    computed: list[tuple[str, str, str]] = []
    for node in graph.nodes:
        if node.op == "placeholder":
            places[node] = (fixed or {}).get(node.target, f"argument {node.target}")
            continue
        places[node] = f"node {len(computed)}"
        keywords = {k: v for k, v in node.kwargs.items() if not (k == "training" and _is_dropout(node))}
        arguments = map_arg((node.args, keywords), lambda used: places[used])
        computed.append((node.op, called(node) or str(node.target), repr(arguments)))
    return computed


def _is_dropout(node: Node) -> bool:
    return called(node) in [f"torch.nn.functional.{name}" for name in _DROPOUTS]


def _training(node: Node) -> Any:
    return node.kwargs.get("training")
