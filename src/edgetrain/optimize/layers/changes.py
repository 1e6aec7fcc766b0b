"""A model while it is changed: what is where in it, and what was done to it so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from torch import nn
from torch.fx import Node

from ...artifacts.transforms import Layer, ReplacedCall, ReplacedLayer, Transform
from ...errors import UsageError
from ...models.transforms import apply_transforms
from ...models.transforms.layers import describe_layer
from ...models.transforms.new_layer import seeded
from ...models.transforms.traced_forward import (
    Trace,
    TracedModule,
    Untraceable,
    called,
    find_node,
    has_own_forward,
    trace_forward,
)
from .activations import known_activation
from .calls import layer_of_call
from .observed import Observed, Sizes
from .written_out import written_out


@dataclass(frozen=True)
class Replacement:
    """One replacement, for reports.

    Attributes:
        rule: whose it is.
        place: the layer's path, or that of the module in whose forward the call is; "" is the model.
        old, new: what was there and what is there now, as in `SiLU`, `torch.nn.functional.silu()` or
            `MaxPool2d + MaxPool2d`.
    """

    rule: str
    place: str
    old: str
    new: str


@dataclass(frozen=True)
class Place:
    """A layer, or a call of a function or method.

    Attributes:
        path: of the layer, or of the module in whose forward the call is.
        layer: what is there; of a call, and of an activation somebody wrote as a module, PyTorch's layer that
            computes the same. None for a call that no layer stands for.
        module: what is there; None for a call.
        function: what is called, as in `torch.nn.functional.silu`; "" for a layer.
        node: of the call in the traced forward; "" for a layer.
    """

    path: str
    layer: nn.Module | None
    module: nn.Module | None
    function: str
    node: str
    changes: Changes

    def sizes(self) -> Sizes:
        """Shapes of its input and output, for each time it was used; empty without inputs."""
        return self.changes.sizes(self.path, self.node)

    def note(self, text: str) -> None:
        """Tells something about this place in the report."""
        if self.module is None:
            self.changes.note(f"{self.function}() in {self.path or 'the model'} {text}")
        else:
            self.changes.note(f"{self.path or 'the model'} ({short_name(self.module)}) {text}")


# What shall be at a place; None: what is there.
Replace = Callable[[Place], nn.Module | None]
# By node of a traced forward: what is called there, the layer that shall be there, and the node whose value
# it is given, or None for the first argument of the call.
Calls = dict[str, tuple[str, nn.Module, str | None]]


@dataclass
class Changes:
    """What was done to a model.

    Attributes:
        model: as it is now.
        rule: the name of the rule that is being followed.
        observed: what the model did before this rule, if there are inputs.
    """

    model: nn.Module
    rule: str = ""
    observed: Observed | None = None
    transforms: list[Transform] = field(default_factory=list)
    replaced: list[Replacement] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _traces: dict[int, tuple[nn.Module, Trace | Untraceable]] = field(default_factory=dict)
    _untraced: dict[str, tuple[nn.Module, Untraceable]] = field(default_factory=dict)

    def begin(self, rule: str, observed: Observed | None) -> None:
        """What follows is done by this rule.

        Args:
            observed: what the model does now, if there are inputs.
        """
        self.rule, self.observed = rule, observed

    def module(self, path: str) -> nn.Module | None:
        """The module at a path, if there is one."""
        try:
            return self.model.get_submodule(path)
        except AttributeError:
            return None

    def modules(self) -> Iterator[tuple[str, nn.Module]]:
        """All modules by all their paths; "" is the model."""
        return self.model.named_modules(remove_duplicate=False)

    def trace(self, module: nn.Module) -> Trace | Untraceable:
        """A module's forward as a graph, or why there is none."""
        if isinstance(module, TracedModule):
            return Trace(module.graph)
        if id(module) not in self._traces:
            try:
                found: Trace | Untraceable = trace_forward(module)
            except Untraceable as reason:
                found = reason
            self._traces[id(module)] = (module, found)  # held, so that its id isn't given again
        return self._traces[id(module)][1]

    def sizes(self, path: str, node: str = "") -> Sizes:
        """Shapes of input and output of a layer, or of a call in a module's forward."""
        module = self.model.get_submodule(path)
        if self.observed is None:
            return []
        if not node:
            return self.observed.of_layer(module)
        graph = self.trace(module).graph
        return [] if graph is None else self.observed.of_call(module, graph, node)

    def note(self, text: str) -> None:
        """Tells something in the report, once."""
        if text not in self.notes:
            self.notes.append(text)

    def record(self, transform: Transform) -> None:
        """Does it, as whoever builds the model again will."""
        self.model = apply_transforms(self.model, [transform])
        self.transforms.append(transform)

    def replace(self, replace: Replace) -> None:
        """Asks at each place what shall be there, and then puts it there."""
        layers = []
        for path, module in self.modules():
            layer = self._layer(replace, path, module)
            if layer is not None:
                layers.append((path, module, layer))
        gone = [path for path, _, _ in layers]
        calls = []
        for path, module in self.modules():
            if has_own_forward(module) and not any(f"{path}.".startswith(f"{other}.") for other in gone):
                nodes = self._calls(replace, path, module)
                if nodes:
                    calls.append((path, module, nodes))
        # Another path may lead to the same place.
        for path, module, layer in layers:
            if self.module(path) is module:
                self.replace_layer(path, layer)
        for path, module, nodes in calls:
            if self.module(path) is module:
                self.replace_calls(path, nodes)

    def replace_layer(self, path: str, new: nn.Module) -> None:
        """Puts a layer, with its weights, in the place of another."""
        old = self.model.get_submodule(path)
        if any(True for _ in new.parameters()) and self._is_shared(old):
            self.note(f"{path} ({short_name(old)}) stays, since it is used under several names")
            return
        self.record(ReplacedLayer(module=path, by=self._described(new)))
        installed = self.model.get_submodule(path)
        installed.load_state_dict(new.state_dict())
        trained = [p.requires_grad for p in old.parameters()]
        if trained and not any(trained):
            installed.requires_grad_(False)
        self.replaced.append(Replacement(self.rule, path, short_name(old), short_name(new)))

    def replace_calls(self, path: str, wanted: Calls) -> None:
        """Puts layers, with their weights, in the place of calls in a module's forward."""
        trace = self.trace(self.model.get_submodule(path))
        assert isinstance(trace, Trace)
        # Dropouts are constants in the graph; as layers they follow the module's mode.
        for node, layer in _dropouts(trace).items():
            if node not in wanted:
                self._put_call(path, node, layer, None)
        calls: dict[str, str] = {}
        for node, (old, layer, of) in wanted.items():
            # What it is given may have been replaced by now.
            calls[node] = self._put_call(path, node, layer, None if of is None else calls.get(of, of))
            self.replaced.append(Replacement(self.rule, path, old, short_name(layer)))

    def untraced_notes(self) -> list[str]:
        """What to say about modules in whose forward no call could be replaced, a line for each kind."""
        kinds: dict[str, list[str]] = {}
        for path, (module, reason) in self._untraced.items():
            if self.module(path) is module:
                kinds.setdefault(f"{short_name(module)}: {reason}", []).append(path or "the model")
        return [
            f"{paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''} ({reason}): its layers "
            "were looked at, but not the calls in its forward"
            for reason, paths in kinds.items()
        ]

    def _layer(self, replace: Replace, path: str, module: nn.Module) -> nn.Module | None:
        layer = module
        if has_own_forward(module) and not isinstance(module, TracedModule):
            layer = known_activation(module) or module
        return self._asked(replace, Place(path, layer, module, "", "", self))

    def _calls(self, replace: Replace, path: str, module: nn.Module) -> Calls:
        """What shall be in the place of calls in a module's forward."""
        trace = self.trace(module)
        if trace.graph is None:
            assert isinstance(trace, Untraceable)
            self._untraced[path] = (module, trace)
            return {}
        wanted: Calls = {}
        inside: set[Node] = set()
        by_mode = trace.by_mode if isinstance(trace, Trace) else ()
        for node in reversed(trace.graph.nodes):
            if node.op not in ("call_function", "call_method") or node in inside:
                continue
            if (found := written_out(module, node)) is not None:
                layer, source, between = found
                new = self._asked(replace, Place(path, layer, None, called(node), node.name, self))
                if new is not None:
                    wanted[node.name] = (f"{short_name(layer)} written out", new, source.name)
                    inside |= between
                    continue
            layer_there = layer_of_call(node, by_mode)
            new = self._asked(replace, Place(path, layer_there, None, called(node), node.name, self))
            if new is not None:
                wanted[node.name] = (f"{called(node)}()", new, None)
        wanted = dict(reversed(wanted.items()))
        if wanted and isinstance(trace, Trace) and not isinstance(module, TracedModule):
            trace = self._checked(module, trace)
        if wanted and isinstance(trace, Untraceable):
            self._untraced[path] = (module, trace)
            return {}
        return wanted

    def _checked(self, module: nn.Module, trace: Trace) -> Trace | Untraceable:
        """The trace, if it computes what the module does."""
        if self.observed is not None and not self.observed.agrees(module, trace.graph):
            return Untraceable("what torch.fx traced computes something else")
        if len(_dropouts(trace)) < len(trace.by_mode):
            return Untraceable("how much its dropout drops is computed")
        return trace

    def _put_call(self, path: str, name: str, new: nn.Module, of: str | None) -> str:
        """The name of the node that calls the layer."""
        module = self.model.get_submodule(path)
        graph = self.trace(module).graph
        node = None if graph is None else find_node(graph, name)
        assert node is not None
        layer = _free_name(module, type(new).__name__.lower())
        self.record(
            ReplacedCall(module=path, node=name, was=called(node), name=layer, by=self._described(new), of=of)
        )
        owner = self.model.get_submodule(path)
        owner.get_submodule(layer).load_state_dict(new.state_dict())
        graph = self.trace(owner).graph
        assert graph is not None
        return next(call.name for call in graph.nodes if call.op == "call_module" and call.target == layer)

    def _asked(self, replace: Replace, place: Place) -> nn.Module | None:
        """The answer; what is drawn for new weights depends on the place only."""
        with seeded(f"{place.path}:{place.node}"):
            return replace(place)

    def _described(self, new: nn.Module) -> Layer:
        try:
            return describe_layer(new)
        except ValueError as error:
            raise UsageError(
                f"the rule '{self.rule}' makes a layer that a checkpoint can't keep ({error}); make it of "
                "PyTorch's layers"
            ) from error

    def _is_shared(self, module: nn.Module) -> bool:
        """Whether several parents hold a module, or one does by several names."""
        paths = [path.rpartition(".") for path, other in self.modules() if other is module]
        return len({(id(self.module(parent)), name) for parent, _, name in paths}) > 1


def short_name(module: nn.Module) -> str:
    """What a layer is called in reports."""
    if type(module) is nn.Sequential:
        return " + ".join(short_name(inner) for inner in module) or "Sequential"
    return type(module).__name__


def _dropouts(trace: Trace) -> dict[str, nn.Module]:
    """By node, layers for the dropouts that follow the module's mode."""
    nodes = [node for node in trace.graph.nodes if node.name in trace.by_mode]
    layers = {node.name: layer_of_call(node, trace.by_mode) for node in nodes}
    return {name: layer for name, layer in layers.items() if layer is not None}


def _free_name(module: nn.Module, wanted: str) -> str:
    name, number = wanted, 1
    while hasattr(module, name):
        name, number = f"{wanted}_{number}", number + 1
    return name
