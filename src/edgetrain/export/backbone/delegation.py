"""How much of a backbone its backend has taken over."""

from __future__ import annotations

from executorch.exir.delegate import executorch_call_delegate

from ...artifacts.contract import BACKBONE
from ...upstream import edge_operator_names
from ..pipeline import Lowered


def describe_delegation(lowered: Lowered) -> str:
    """One sentence about a program that has a backbone."""
    program = lowered.edge.manager.exported_program(BACKBONE)
    calls = [node for node in program.graph.nodes if node.target is executorch_call_delegate]
    modules = [getattr(program.graph_module, str(node.all_input_nodes[0].target)) for node in calls]
    taken = sum(
        edge_operator_names(node) is not None
        for module in modules
        for node in module.original_module.graph.nodes
    )
    parts = f"{len(calls)} part{'' if len(calls) == 1 else 's'}"
    # Asking for a length takes no time.
    left = [
        name.split("::")[-1].split(".")[0] for name in lowered.operators[BACKBONE] if "sym_size" not in name
    ]
    rest = f"; it leaves {', '.join(dict.fromkeys(left))} to ordinary kernels" if left else ""
    return f"XNNPACK runs {taken} of the backbone's operators, in {parts}{rest}"
