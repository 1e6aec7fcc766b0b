"""x.to(memory_format=channels_last) → x.contiguous(): all tensors of a captured graph lie in the order of
their dimensions.

How a tensor lies in memory is no part of what a model computes, and neither the runtime's kernels nor its
memory planning know other layouts than this one. Our kernels choose their own inside.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule

from ...upstream.programs import replace_tensors

aten = torch.ops.aten
_LAYOUTS = (torch.channels_last, torch.channels_last_3d)
# A view may need the layout that is gone.
_VIEWS = {aten.view.default: aten.reshape.default, aten._unsafe_view.default: aten.reshape.default}


def contiguous_layouts(program: ExportedProgram) -> int:
    """Lays out weights and intermediate results alike; returns how many weights and calls were changed."""
    count = _weights(program)
    graphs = [inner.graph for inner in program.graph_module.modules() if isinstance(inner, GraphModule)]
    nodes = [node for graph in graphs for node in graph.nodes if node.op == "call_function"]
    for node in nodes:
        if any(value in _LAYOUTS for value in (*node.args, *node.kwargs.values())):
            node.args = tuple(_plain(value) for value in node.args)
            node.kwargs = {name: _plain(value) for name, value in node.kwargs.items()}
            count += 1
    if count:
        for node in nodes:
            node.target = _VIEWS.get(node.target, node.target)
        program.graph_module.recompile()
    return count


def _plain(value: Any) -> Any:
    return torch.contiguous_format if value in _LAYOUTS else value


def _weights(program: ExportedProgram) -> int:
    """Parameters, buffers and constants; those of one tensor under several names stay one."""
    tensors = {**program.constants, **program.state_dict}
    laid_out: dict[int, Tensor] = {}
    for tensor in tensors.values():
        if isinstance(tensor, Tensor) and not tensor.is_contiguous():
            laid_out[id(tensor)] = _contiguous(tensor)
    changed = {name: laid_out[id(tensor)] for name, tensor in tensors.items() if id(tensor) in laid_out}
    replace_tensors(program, changed)
    names = {spec.arg.name for spec in program.graph_signature.input_specs if spec.target in changed}
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in names:
            value = node.meta["val"]
            with value.fake_mode, torch.no_grad():
                node.meta["val"] = value.contiguous().requires_grad_(value.requires_grad)
    return len(changed)


def _contiguous(tensor: Tensor) -> Tensor:
    values = tensor.detach().contiguous()
    return nn.Parameter(values, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else values
