"""Layers without a kernel, or without a gradient, written as others."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Node

from ...config.stages import ExportCommand
from ...upstream.programs import record_operators
from ...upstream.values import flattened
from ..compositions import COMPOSITIONS, WITH_OWN_OPERATORS
from ..module_paths import keep_path
from ..passes.rewriting import finish
from ..pipeline import Captured


def composed(captured: Captured, command: ExportCommand | None = None) -> Captured:
    """Writes the layers of all methods that `COMPOSITIONS` knows as others, in place.

    Args:
        command: how; without it in operators that a stock ExecuTorch has.
    """
    fused = command is not None and command.export.recurrent == "fused"
    for program in captured.graphs.values():
        compose(program, WITH_OWN_OPERATORS if fused else COMPOSITIONS)
    return captured


def compose(program: ExportedProgram, table: dict[Any, Callable[..., Any]] = COMPOSITIONS) -> int:
    """Puts what a table's functions do in place of the calls of a captured graph; returns how many it did."""
    count = 0
    for node in [n for n in program.graph.nodes if n.op == "call_function" and n.target in table]:
        results = _written_out(node, table[node.target])
        if results is None:
            continue
        for result, old in results:
            old.replace_all_uses_with(result)
            program.graph_signature.replace_all_uses(old.name, result.name)
        # Layers with dropout count as random, which dead code may not be.
        for old in (*node.users, node):
            program.graph.erase_node(old)
        count += 1
    finish(program)
    return count


def _written_out(node: Node, function: Callable[..., Any]) -> list[tuple[Node, Node]] | None:
    """Calls in front of a node that compute what it does: (result, node it stands for); None where the
    function leaves it alone."""
    given, rebuild = flattened((node.args, node.kwargs))
    tensors = [argument for argument in given if isinstance(argument, Node)]
    if not all(isinstance(argument.meta["val"], Tensor) for argument in tensors):
        return None

    def run(*values: Tensor) -> Any:
        known = iter(values)
        args, kwargs = rebuild([next(known) if isinstance(a, Node) else a for a in given])
        found = function(*args, **kwargs)
        return () if found is NotImplemented else found

    values = [argument.meta["val"] for argument in tensors]
    with values[0].fake_mode:
        recorded = record_operators(run, values).graph
    outputs: Any = recorded.output_node().args[0]
    if isinstance(outputs, Node):
        wanted = [(outputs, node)]
    else:
        parts = [user for user in node.users if user.target is operator.getitem]
        wanted = [(outputs[part.args[1]], part) for part in parts] if outputs else []
        if not outputs or any(output is None for output, _ in wanted):
            return None
    copies: dict[Node, Node] = dict(
        zip((n for n in recorded.nodes if n.op == "placeholder"), tensors, strict=True)
    )
    with node.graph.inserting_before(node):
        for made in recorded.nodes:
            if made.op == "call_function":
                copies[made] = node.graph.node_copy(made, copies.__getitem__)
                copies[made].meta.pop("nn_module_stack", None)
                keep_path(copies[made], node)
    return [(copies[output], old) for output, old in wanted]
