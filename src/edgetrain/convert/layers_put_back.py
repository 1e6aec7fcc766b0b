"""Calls in a captured graph → layers again: dropout and batch norm, which follow the mode of the module;
those with weights, which updates are chosen by; activations and pools, which surgery replaces."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from ..errors import InputError
from ..models.transforms.graphs.attention import attention
from .functions_put_back import put_functions_back
from .new_calls import call_layer
from .weights_put_back import put_weights_back

aten = torch.ops.aten
_DROPOUTS = (aten.dropout.default, aten.dropout_.default)
_KINDS: dict[int, Any] = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
_BATCH_NORM = aten.batch_norm.default
_FUSED_ATTENTION = (aten._transformer_encoder_layer_fwd.default, aten._native_multi_head_attention.default)


def module_of_program(program: ExportedProgram, origin: str) -> GraphModule:
    """The module that a program was captured from, as a graph of operators and layers.

    Raises:
        InputError: see `put_layers_back`.
    """
    exported = program.module(check_guards=False)
    assert isinstance(exported, GraphModule)
    # A copy, since exported modules refuse eval().
    module = GraphModule(exported, exported.graph)
    put_layers_back(module, origin)
    return module


def put_layers_back(graph_module: GraphModule, origin: str) -> None:
    """Replaces calls by layers, and old operators by those that took their place.

    Args:
        origin: the file, for messages.
    Raises:
        InputError: the graph was captured in training mode, or with fused attention.
    """
    graph = graph_module.graph
    for index, node in enumerate([n for n in graph.nodes if n.op == "call_function"]):
        if node.target in _FUSED_ATTENTION:
            raise InputError(
                f"{origin} has PyTorch's fused attention in it, which ExecuTorch doesn't have; trace it "
                "again after torch.backends.mha.set_fastpath_enabled(False)"
            )
        if node.target in _DROPOUTS:
            _check_mode(node.args[2], "dropout", origin)
            x = node.args[0]
            assert isinstance(x, Node)
            call_layer(graph_module, node, f"dropout_{index}", nn.Dropout(float(str(node.args[1]))), x)
        elif node.target is _BATCH_NORM and _is_tensor(node.args[3]):
            _check_mode(node.args[5], "batch norm", origin)
            _put_batch_norm_back(graph_module, node)
        elif node.target is aten.scaled_dot_product_attention.default:
            node.target = attention
        elif node.target in (aten._convolution.default, aten.convolution.default):
            _name_convolution(node)
    put_weights_back(graph_module)
    put_functions_back(graph_module)
    graph.eliminate_dead_code()
    graph_module.recompile()


def _name_convolution(node: Node) -> None:
    """The operator that the layer calls, which is the one quantization knows. Tracing records another, whose
    last arguments say which library may compute it."""
    x, weight, bias, stride, padding, dilation, transposed, _, groups = node.args[:9]
    assert isinstance(stride, (list, tuple))
    if transposed:
        node.target, node.args = aten.convolution.default, node.args[:9]
        return
    named = (aten.conv1d.default, aten.conv2d.default, aten.conv3d.default)
    node.target = named[len(stride) - 1]
    node.args = (x, weight, bias, stride, padding, dilation, groups)


def _check_mode(training: object, what: str, origin: str) -> None:
    if training is True:
        raise InputError(
            f"{origin} was captured in training mode, so that its {what} stays on; capture it again after "
            "model.eval()"
        )


def _put_batch_norm_back(graph_module: GraphModule, node: Node) -> None:
    x, weight, bias, mean, variance, _, momentum, eps, _ = node.args
    assert isinstance(x, Node)
    assert isinstance(mean, Node)
    assert isinstance(variance, Node)
    features = _tensor(graph_module, mean)
    layer = _KINDS[x.meta["val"].dim()](
        len(features), eps=eps, momentum=momentum, affine=isinstance(weight, Node)
    )
    layer.running_mean, layer.running_var = features, _tensor(graph_module, variance)
    if isinstance(weight, Node) and isinstance(bias, Node):
        layer.weight, layer.bias = (_parameter(_tensor(graph_module, n)) for n in (weight, bias))
    # Where the layer was, so that its tensors keep their names.
    name = str(mean.target).rpartition(".")[0] or f"layer_{node.name}"
    call_layer(graph_module, node, name, layer.eval(), x)


def _is_tensor(node: object) -> bool:
    return isinstance(node, Node) and node.op == "get_attr"


def _tensor(graph_module: GraphModule, node: Node) -> Tensor:
    parent, _, last = str(node.target).rpartition(".")
    tensor: Tensor = getattr(graph_module.get_submodule(parent), last)
    return tensor


def _parameter(tensor: Tensor) -> nn.Parameter:
    return tensor if isinstance(tensor, nn.Parameter) else nn.Parameter(tensor, requires_grad=False)
