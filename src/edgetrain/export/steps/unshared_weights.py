"""Weights that several layers share, each with its own, where XNNPACK's passes take them for one layer's.

They give a 1-D convolution's weight a fourth dimension where it lies, and name what a batch norm is folded
into after the weight alone: the second call then gets the weight that was made for the first.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Node

from ..passes.placeholders import add_buffer
from ..passes.rewriting import calls, finish
from ..pipeline import Captured

aten = torch.ops.aten
_LAYERS = (
    aten.linear.default,
    aten.conv1d.default,
    aten.conv2d.default,
    aten.convolution.default,
    aten.conv_transpose1d.default,
    aten.conv_transpose2d.input,
)


def unshared_weights(captured: Captured) -> Captured:
    """Gives all methods' layers that it concerns weights and biases of their own, in place."""
    for program in captured.graphs.values():
        unshare_weights(program)
    return captured


def unshare_weights(program: ExportedProgram) -> int:
    """Copies the weights of 1-D convolutions and of layers before a batch norm for every further call that
    reads them; returns how many were copied."""
    signature = program.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    first: dict[tuple[Node, ...], Node] = {}
    copies = 0
    for node in calls(program, *_LAYERS):
        held = tuple(a for a in node.args[1:3] if isinstance(a, Node) and a.op == "placeholder")
        if not held or first.setdefault(held[:1], node) is node or not _changed_by_xnnpack(node):
            continue
        for tensor in held:
            name = names[tensor.name]
            copied = add_buffer(program, f"{name}__{copies}", program.state_dict[name].detach())
            node.replace_input_with(tensor, copied)
            copies += 1
    if copies:
        finish(program)
    return copies


def _changed_by_xnnpack(node: Node) -> bool:
    weight = node.args[1]
    assert isinstance(weight, Node)
    value = weight.meta["val"]
    assert isinstance(value, Tensor)
    return value.dim() == 3 or any(user.target is aten.batch_norm.default for user in node.users)
