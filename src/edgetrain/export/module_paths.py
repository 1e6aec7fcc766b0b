"""Which module of the model a node of a graph comes from.

`torch.export` writes it into the nodes. Those of the backward graph get it from the forward nodes they belong
to, and what a pass puts in the place of a node is where that one was.
"""

from __future__ import annotations

from torch.export import ExportedProgram
from torch.fx import Node

from ..upstream.node_keys import MODULE_STACK, OPERATION

# The wrapper's attribute that holds the model, see `capture`.
MODEL = "model"
_NO_STACK = "_empty_nn_module_stack"


def module_path(node: Node) -> str:
    """`features.2 (AvgPool2d)`; empty where it isn't known."""
    stack = list((node.meta.get(MODULE_STACK) or {}).values())
    if not stack or str(stack[-1][0]).startswith(_NO_STACK):
        return ""
    path, kind = stack[-1]
    name = str(path).replace("L['self']", "").replace("._modules['", ".").replace("']", "").strip(".")
    if name != MODEL and not name.startswith(f"{MODEL}."):
        return ""
    name = name.removeprefix(MODEL).strip(".") or "the model itself"
    return f"{name} ({str(getattr(kind, '__name__', kind)).split('.')[-1]})"


def complete_paths(joint: ExportedProgram) -> None:
    """Gives nodes of a joint graph without a path that of the forward node they were derived from."""
    forward: dict[object, object] = {}
    for node in joint.graph.nodes:
        if node.meta.get(OPERATION) is not None and module_path(node):
            forward.setdefault(node.meta[OPERATION], node.meta[MODULE_STACK])
    for node in joint.graph.nodes:
        if node.op == "call_function" and not module_path(node) and node.meta.get(OPERATION) in forward:
            node.meta[MODULE_STACK] = forward[node.meta[OPERATION]]


def keep_path(new: Node, old: Node) -> None:
    """Says that a new node stands where an old one was."""
    for key in (MODULE_STACK, OPERATION):
        if key in old.meta and key not in new.meta:
            new.meta[key] = old.meta[key]
