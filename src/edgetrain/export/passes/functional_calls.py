"""conv(x).relu_() → relu(conv(x)): a call that writes into a result which nobody else reads becomes one that
returns another.

Lowering would do the same by tracing the graph, and takes several times as long for each such call: it runs
what it writes them as, with every length that is in it.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Node

from ...upstream.operators import aten_operator, is_mutable, is_operator, schema_arguments
from .rewriting import arguments

# Of operators whose results surely lie in no other tensor's memory. Others may return what they were given,
# as dropout in evaluation does.
_FRESH = {
    *("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "linear"),
    *("matmul", "mm", "bmm", "addmm", "batch_norm", "layer_norm", "group_norm", "cat"),
    *("add", "sub", "mul", "div", "relu", "hardtanh", "hardswish", "hardsigmoid", "silu", "gelu"),
    *("leaky_relu", "elu", "sigmoid", "tanh", "clamp", "exp", "log", "sqrt", "neg", "pow", "where", "clone"),
    *("zeros", "ones", "full", "zeros_like", "ones_like", "full_like", "masked_fill", "softmax"),
}


def functional_calls(program: ExportedProgram) -> int:
    """Rewrites the calls of a captured graph for which that is safe; returns how many."""
    count = 0
    for node in program.graph.nodes:
        target = _functional(node)
        if target is None:
            continue
        node.target = target
        count += 1
    if count:
        program.graph_module.recompile()
    return count


def _functional(node: Node) -> Any:
    """The operator that computes what a call writes, if nobody can tell the difference."""
    if node.op != "call_function" or not is_operator(node.target) or not is_mutable(node.target):
        return None
    name, written = _name(node), arguments(node)[0] if node.args else None
    if not name.endswith("_") or not isinstance(written, Node) or list(written.users) != [node]:
        return None
    # In place, an active one draws its mask by `rand`; out of place, it is an operator that can be turned
    # off. `fixed_randomness.no_dropout` expects what the module says.
    if name == "dropout_" and arguments(node)[2]:
        return None
    if written.op != "call_function" or not is_operator(written.target) or _name(written) not in _FRESH:
        return None
    # Otherwise the result would have the type that these have in common; a mask doesn't count.
    others = node.all_input_nodes if name != "masked_fill_" else [written]
    tensors = [source.meta.get("val") for source in others]
    if any(not isinstance(t, Tensor) or t.dtype != written.meta["val"].dtype for t in tensors):
        return None
    target = aten_operator(name.removesuffix("_"), str(node.target).split(".")[-1])
    if target is None or _taken(target) != _taken(node.target):
        return None
    return target


def _taken(operator: Any) -> list[str]:
    """What it takes besides the tensor, which `dropout_` calls `self` and `dropout` calls `input`."""
    return [argument.name for argument in schema_arguments(operator)][1:]


def _name(node: Node) -> str:
    """`relu_` of `aten::relu_.default`."""
    return str(node.target).removeprefix("aten.").split(".")[0]
