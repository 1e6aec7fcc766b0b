"""What a model's layers and calls are given and give back, for one batch, in evaluation."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, Interpreter, Node

from ...models.calling import call_model
from ...models.transforms.traced_forward import has_own_forward, mode_set
from ...upstream.values import flattened

# Shapes of input and output, for each time something was used.
Sizes = list[tuple[tuple[int, ...], tuple[int, ...]]]


class Observed:
    """One run of a model.

    Attributes:
        outputs: all tensors that it returned, in their order.
    """

    def __init__(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> None:
        """
        Args:
            inputs: by name, [B, ...] each.
        Raises:
            Exception: whatever the model raises.
        """
        self._sizes: dict[int, Sizes] = {}
        # Arguments, keywords and outputs of modules with a forward of their own; copies, since later layers
        # may work in place.
        self._uses: dict[int, list[tuple[tuple[Any, ...], dict[str, Any], Any]]] = {}
        self._waiting: dict[int, list[tuple[Any, Any]]] = {}
        self._held = list(model.modules())  # so that their ids aren't given again
        hooks = []
        for module in self._held:
            hooks.append(module.register_forward_pre_hook(self._before, with_kwargs=True))
            hooks.append(module.register_forward_hook(self._after))
        try:
            with torch.no_grad(), mode_set(model, training=False):
                self.outputs = tensors(call_model(model, {k: v.clone() for k, v in inputs.items()}))
        finally:
            for hook in hooks:
                hook.remove()

    def of_layer(self, module: nn.Module) -> Sizes:
        """Shapes of the first input and output of a layer."""
        return self._sizes.get(id(module), [])

    def of_call(self, module: nn.Module, graph: Graph, node: str) -> Sizes:
        """Shapes of the first input and the output of a call in a module's forward."""
        sizes: Sizes = []
        for arguments, keywords, _ in self._uses.get(id(module), []):
            run = _Shapes(module, graph)
            if _interpret(run, module, graph, arguments, keywords) is not None:
                sizes += run.of(node)
        return sizes

    def agrees(self, module: nn.Module, graph: Graph) -> bool:
        """Whether a graph computes what the module did."""
        for arguments, keywords, output in self._uses.get(id(module), []):
            found = _interpret(Interpreter(module, graph=graph), module, graph, arguments, keywords)
            expected = tensors(output)
            if found is None or len(found) != len(expected):
                return False
            if not all(
                a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True)
                for a, b in zip(found, expected, strict=True)
            ):
                return False
        return True

    def _before(self, module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        kept = (_copied(arguments), _copied(keywords)) if has_own_forward(module) else ((), {})
        self._waiting.setdefault(id(module), []).append((kept, _shape((*arguments, *keywords.values()))))

    def _after(self, module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        (given, keywords), before = self._waiting[id(module)].pop()
        after = _shape(output)
        if before is not None and after is not None:
            self._sizes.setdefault(id(module), []).append((before, after))
        if has_own_forward(module):
            self._uses.setdefault(id(module), []).append((given, keywords, _copied(output)))


class _Shapes(Interpreter):
    """Runs a graph and keeps the shapes of all values."""

    def __init__(self, module: nn.Module, graph: Graph) -> None:
        super().__init__(module, graph=graph)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.inputs: dict[str, str] = {}

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        shape = _shape(value)
        if shape is not None:
            self.shapes[n.name] = shape
        if n.all_input_nodes:
            self.inputs[n.name] = n.all_input_nodes[0].name
        return value

    def of(self, node: str) -> Sizes:
        before, after = self.shapes.get(self.inputs.get(node, "")), self.shapes.get(node)
        return [(before, after)] if before is not None and after is not None else []


def tensors(value: Any) -> list[Tensor]:
    """All tensors in a value."""
    return [leaf for leaf in flattened(value)[0] if isinstance(leaf, Tensor)]


def _interpret(
    run: Interpreter, module: nn.Module, graph: Graph, arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> list[Tensor] | None:
    """The tensors that a graph returns; None where it fails."""
    bound = inspect.signature(module.forward).bind(*arguments, **keywords)
    bound.apply_defaults()
    given = [_copied(bound.arguments[str(n.target)]) for n in graph.nodes if n.op == "placeholder"]
    with torch.no_grad(), mode_set(module, training=False):
        try:
            return tensors(run.run(*given))
        except Exception:  # the graph doesn't fit what the module is given
            return None


def _copied(value: Any) -> Any:
    leaves, build = flattened(value)
    return build([leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves])


def _shape(value: Any) -> tuple[int, ...] | None:
    """Of the first tensor in a value."""
    return next((tuple(tensor.shape) for tensor in tensors(value)), None)
