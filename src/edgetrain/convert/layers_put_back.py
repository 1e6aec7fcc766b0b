"""dropout(x) and batch_norm(x, ...) in a captured graph → layers that follow the mode of the module again."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from ..errors import InputError

aten = torch.ops.aten
_DROPOUTS = (aten.dropout.default, aten.dropout_.default)
_KINDS: dict[int, Any] = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
_BATCH_NORM = aten.batch_norm.default
_FUSED_ATTENTION = (aten._transformer_encoder_layer_fwd.default, aten._native_multi_head_attention.default)


def put_layers_back(graph_module: GraphModule, origin: str) -> None:
    """Replaces dropout and batch norm by `nn.Dropout` and `nn.BatchNorm`, which training can turn on, and old
    operators by those that took their place.

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
            _call_layer(graph_module, node, f"dropout_{index}", nn.Dropout(float(str(node.args[1]))))
        elif node.target is _BATCH_NORM and _is_tensor(node.args[3]):
            _check_mode(node.args[5], "batch norm", origin)
            _put_batch_norm_back(graph_module, node)
        elif node.target is aten.scaled_dot_product_attention.default:
            node.target = _attention
        elif node.target in (aten._convolution.default, aten.convolution.default):
            _name_convolution(node)
    graph.eliminate_dead_code()
    graph_module.recompile()


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """scaled_dot_product_attention as the operators it stands for: its fused forms have no backward kernel in
    ExecuTorch, and a captured graph no longer lets `sdpa_kernel` choose."""
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(groups, -3), value.repeat_interleave(groups, -3)
    scores = (query @ key.transpose(-2, -1)) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    return torch.softmax(scores, -1) @ value


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
    _call_layer(graph_module, node, name, layer.eval())


def _is_tensor(node: object) -> bool:
    return isinstance(node, Node) and node.op == "get_attr"


def _tensor(graph_module: GraphModule, node: Node) -> Tensor:
    parent, _, last = str(node.target).rpartition(".")
    tensor: Tensor = getattr(graph_module.get_submodule(parent), last)
    return tensor


def _parameter(tensor: Tensor) -> nn.Parameter:
    return tensor if isinstance(tensor, nn.Parameter) else nn.Parameter(tensor, requires_grad=False)


def _call_layer(graph_module: GraphModule, node: Node, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(graph_module.get_submodule(parent), last, layer)
    with graph_module.graph.inserting_before(node):
        call = graph_module.graph.call_module(name, (node.args[0],))
    call.meta = dict(node.meta)
    node.replace_all_uses_with(call)
    graph_module.graph.erase_node(node)
