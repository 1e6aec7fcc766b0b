"""What the nodes of several graphs compute, as numbers: equal ones stand for the same value."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Node

from ...upstream.edge import draws_random_numbers
from ...upstream.operators import is_mutable, is_operator, returns_alias

aten = torch.ops.aten
# (input, probability, training): the identity outside of training.
_DROPOUTS = (
    aten.dropout.default,
    aten.dropout_.default,
    aten.feature_dropout.default,
    aten.feature_dropout_.default,
    aten.alpha_dropout.default,
    aten.alpha_dropout_.default,
    aten.feature_alpha_dropout.default,
    aten.feature_alpha_dropout_.default,
)
_ATTENTION = aten.scaled_dot_product_attention.default


class Values:
    """Numbers values: those of inputs, of frozen tensors, and of what is computed from these alone.

    Whatever depends on a trained parameter, a target or chance has no number, and neither has a length, since
    it depends on the batch.

    Attributes:
        fed: the numbers of what depends on an input.
        users: by number, the numbers of what is computed from it.
    """

    def __init__(self) -> None:
        self.fed: set[int] = set()
        self.users: dict[int, set[int]] = {}
        self._known: dict[Any, int] = {}

    def of(self, program: ExportedProgram, inputs: Mapping[str, str]) -> dict[Node, int]:
        """The numbers of a graph's nodes.

        Args:
            program: as `torch.export` captures it.
            inputs: names by placeholder of those that count as inputs; targets don't.
        """
        leaves = _leaves(program, inputs)
        overwritten = _overwritten(program)
        found: dict[Node, int] = {}
        for node in program.graph.nodes:
            key: Any = None
            if node in overwritten:
                continue
            if node.op == "placeholder":
                key = leaves.get(node.name)
            elif node.op == "call_function" and not is_random(node) and is_value(node):
                if node.target in _DROPOUTS:
                    source = node.args[0]
                    if source in found:
                        found[node] = found[source]
                    continue
                key = _key_of(node, found)
            if key is not None:
                found[node] = self._number(key, [found[n] for n in node.all_input_nodes if n in found])
        return found

    def dependents(self, numbers: set[int]) -> set[int]:
        """Some values and all that is computed from them."""
        reached, pending = set(numbers), list(numbers)
        while pending:
            for user in self.users.get(pending.pop(), ()):
                if user not in reached:
                    reached.add(user)
                    pending.append(user)
        return reached

    def _number(self, key: Any, sources: list[int]) -> int:
        number = self._known.setdefault(key, len(self._known))
        if key[0] == "input" or self.fed.intersection(sources):
            self.fed.add(number)
        for source in sources:
            self.users.setdefault(source, set()).add(number)
        return number


def is_value(node: Node) -> bool:
    """Whether a node is no length."""
    return not isinstance(node.meta.get("val"), torch.SymInt)


def is_trained(program: ExportedProgram, placeholder: str) -> bool:
    """Whether a placeholder is a parameter that gets a gradient."""
    name = program.graph_signature.inputs_to_parameters.get(placeholder)
    return name is not None and program.state_dict[name].requires_grad


def _leaves(program: ExportedProgram, inputs: Mapping[str, str]) -> dict[str, Any]:
    """What stands for the placeholders that have a number, by name."""
    found: dict[str, Any] = {}
    for spec in program.graph_signature.input_specs:
        placeholder = spec.arg.name
        if spec.kind is InputKind.USER_INPUT:
            if placeholder in inputs:
                found[placeholder] = ("input", inputs[placeholder])
        elif spec.kind is InputKind.CONSTANT_TENSOR:
            # Numbered anew in each graph.
            found[placeholder] = ("constant", *_contents(program.constants[str(spec.target)]))
        elif spec.kind in (InputKind.PARAMETER, InputKind.BUFFER) and not is_trained(program, placeholder):
            found[placeholder] = ("tensor", spec.target)
    return found


def _contents(tensor: Any) -> tuple[Any, ...]:
    raw = tensor.detach().contiguous().numpy().tobytes()
    return str(tensor.dtype), tuple(tensor.shape), hashlib.sha256(raw).hexdigest()


def is_random(node: Node) -> bool:
    """Whether a node draws numbers, or does but in evaluation mode."""
    arguments: tuple[Any, ...] = node.args
    if node.target in _DROPOUTS:
        return bool(arguments[2]) and arguments[1] != 0
    if node.target is _ATTENTION:
        probability = arguments[4] if len(arguments) > 4 else node.kwargs.get("dropout_p", 0.0)
        return bool(probability != 0)
    return draws_random_numbers(node)


def _key_of(node: Node, found: Mapping[Node, int]) -> Any:
    """What tells a call from all others; None where it depends on something without a number."""
    parts: list[Any] = [node.target]
    for given in (*node.args, *sorted(node.kwargs.items())):
        part = _part(given, found)
        if part is None:
            return None
        parts.append(part)
    return tuple(parts)


def _part(given: Any, found: Mapping[Node, int]) -> Any:
    if isinstance(given, Node):
        if given in found:
            return "value", found[given]
        length = given.meta.get("val")
        return None if not isinstance(length, torch.SymInt) else ("length", length_text(length))
    if isinstance(given, (list, tuple)):
        parts = [_part(item, found) for item in given]
        return None if None in parts else ("list", *parts)
    return type(given), given


def length_text(length: Any) -> str:
    """A length as a formula of the batch, which each graph calls another name."""
    formula = getattr(getattr(length, "node", None), "expr", length)
    text = str(formula)
    for symbol in getattr(formula, "free_symbols", ()):
        text = text.replace(str(symbol), "batch")
    return text


def _overwritten(program: ExportedProgram) -> set[Node]:
    """Nodes whose values others may change behind their backs, and the operators that do so.

    Writing into what nobody else will look at, as ReLUs do in place, is as good as making something new.
    """
    harmless: set[Node] = set()
    found: set[Node] = set()
    for node in program.graph.nodes:
        if node.op != "call_function" or not is_mutable(node.target):
            continue
        into = node.args[0]
        fresh = (
            isinstance(into, Node)
            and into.op == "call_function"
            and len(into.users) == 1
            and (into in harmless or not (is_operator(into.target) and returns_alias(into.target)))
        )
        if fresh:
            harmless.add(node)
            continue
        found.add(node)
        while isinstance(into, Node):
            found.add(into)
            is_view = into.op == "call_function" and is_operator(into.target) and returns_alias(into.target)
            into = into.args[0] if is_view else None
    return found
