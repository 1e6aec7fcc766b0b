"""How much of a method its backend has taken over."""

from __future__ import annotations

import operator
from dataclasses import dataclass

from executorch.exir.delegate import executorch_call_delegate

from ..upstream.edge import edge_operator_names
from .pipeline import Lowered


@dataclass(frozen=True)
class Delegation:
    """Who computes what.

    Attributes:
        taken: calls of operators that the backend computes.
        parts: in how many pieces.
        left: calls of operators on ordinary kernels.
        names: of these operators, without namespace and overload.
    """

    taken: int
    parts: int
    left: int
    names: list[str]


def delegation_of(lowered: Lowered, method: str) -> Delegation:
    """Counts the calls in a lowered method."""
    program = lowered.edge.manager.exported_program(method)
    calls = [node for node in program.graph.nodes if node.target is executorch_call_delegate]
    modules = [getattr(program.graph_module, str(node.all_input_nodes[0].target)) for node in calls]
    taken = sum(
        edge_operator_names(node) is not None
        for module in modules
        for node in module.original_module.graph.nodes
    )
    # Some are kept whole and become edge operators only as they are emitted.
    left = sum(
        node.op == "call_function"
        and node.target not in (executorch_call_delegate, operator.getitem)
        and "sym_size" not in str(node.target)
        for node in program.graph.nodes
    )
    # Asking for a length takes no time.
    names = [
        name.split("::")[-1].split(".")[0] for name in lowered.operators[method] if "sym_size" not in name
    ]
    return Delegation(taken, len(calls), left, list(dict.fromkeys(names)))
