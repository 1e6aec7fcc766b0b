"""Batch norm in a model that is rounded as its int8 program will be.

In that program a norm is part of the convolution before it. So the convolution computes with the weights that
include the norm, which are the ones that are rounded:

    y = conv(x, rounded(w·s)) + (b - mean)·s + beta,    s = gamma / sqrt(var + eps)

While statistics are learned, the norm behind it takes the convolution's own result out of y, and normalizes
it by the batch. (Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference, arXiv 1712.05877, section 3.2.)
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from ....upstream.node_keys import MODULE_STACK

# What can take a norm in, and along which dimension of its weight the output channels lie.
_CONVOLUTIONS: dict[Any, int] = {
    torch.ops.aten.conv1d.default: 0,
    torch.ops.aten.conv2d.default: 0,
    torch.ops.aten.conv1d.padding: 0,
    torch.ops.aten.conv2d.padding: 0,
    torch.ops.aten.conv_transpose1d.default: 1,
    torch.ops.aten.conv_transpose2d.input: 1,
    torch.ops.aten.linear.default: 0,
}
_NORM = "edgetrain_norm"


def folded_weight(weight: Tensor, gamma: Tensor, var: Tensor, eps: float, dim: int) -> Tensor:
    """A convolution's weight with the norm behind it in it, of the same shape."""
    shape = [1] * weight.dim()
    shape[dim] = -1
    return weight * (gamma / torch.sqrt(var + eps)).view(shape)


def folded_bias(
    bias: Tensor | None, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float
) -> Tensor:
    """A convolution's bias [C] with the norm behind it in it."""
    shift = -mean if bias is None else bias - mean
    return shift * (gamma / torch.sqrt(var + eps)) + beta


class _Folded:
    """A norm that a convolution has taken in already."""

    def forward(self: Any, y: Tensor) -> Tensor:
        if not self.training:
            return y
        shape = (1, -1) + (1,) * (y.dim() - 2)
        scale = self.weight / torch.sqrt(self.running_var + self.eps)
        # A channel whose gamma is 0 has nothing left to take out, and stays as it is.
        inverse = torch.where(scale == 0, 0.0, 1 / torch.where(scale == 0, 1.0, scale))
        shift = self.running_mean - self.bias * inverse
        taken_out: Tensor = y * inverse.view(shape) + shift.view(shape)
        return super().forward(taken_out)  # type: ignore[misc]


class FoldedBatchNorm1d(_Folded, nn.BatchNorm1d):
    """See `_Folded`."""


class FoldedBatchNorm2d(_Folded, nn.BatchNorm2d):
    """See `_Folded`."""


_FOLDED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: FoldedBatchNorm1d,
    nn.BatchNorm2d: FoldedBatchNorm2d,
}


def take_norms_in(graph: GraphModule, model: nn.Module) -> None:
    """Makes norms parts of the convolutions before them, and marks these for `put_norms_back`. Norms that
    stand alone become the model's layers again.

    A norm without parameters or statistics of its own stays what it is in evaluation.
    """
    for node in list(graph.graph.nodes):
        if node.target is not torch.ops.aten.batch_norm.default:
            continue
        convolution, gamma, beta, mean, var, _, _, eps, *_ = node.args
        path = str(getattr(mean, "target", "")).rpartition(".")[0]
        norm = _module(model, path)
        if norm is None or gamma is None or beta is None or type(norm) not in _FOLDED:
            continue
        if _can_take_in(convolution):
            _take_in(graph, convolution, (gamma, beta, mean, var, eps))
            convolution.meta[_NORM] = path
            node.replace_all_uses_with(convolution)
        else:
            graph.set_submodule(path, _same_norm(norm, type(norm)))
            with graph.graph.inserting_before(node):
                call = graph.graph.call_module(path, (convolution,))
            call.meta = dict(node.meta)
            node.replace_all_uses_with(call)
        graph.graph.erase_node(node)


def put_norms_back(graph: GraphModule, model: nn.Module) -> None:
    """Has the marked convolutions followed by norms that learn their statistics in training mode."""
    for node in list(graph.graph.nodes):
        path = node.meta.pop(_NORM, None)
        if path is None:
            continue
        norm = model.get_submodule(path)
        graph.set_submodule(path, _same_norm(norm, _FOLDED[type(norm)]))
        with graph.graph.inserting_after(node):
            call = graph.graph.call_module(path, (node,))
        call.meta = {key: node.meta[key] for key in ("val", MODULE_STACK) if key in node.meta}
        node.replace_all_uses_with(call, delete_user_cb=lambda user, call=call: user is not call)


def fix_norms(graph: GraphModule) -> None:
    """Makes the norms constants: part of the convolutions' weights, or a scale and a shift where they stand
    alone."""
    modules = dict(graph.named_modules(remove_duplicate=False))
    for node in list(graph.graph.nodes):
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, _Folded):
            node.replace_all_uses_with(node.args[0])
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            with graph.graph.inserting_before(node):
                scale, shift = (_constant(graph, node, value) for value in _line(module, node))
                scaled = graph.graph.call_function(torch.ops.aten.mul.Tensor, (node.args[0], scale))
                moved = graph.graph.call_function(torch.ops.aten.add.Tensor, (scaled, shift))
            scaled.meta, moved.meta = dict(node.meta), dict(node.meta)
            node.replace_all_uses_with(moved)
        elif node.target in (folded_weight, folded_bias):
            with torch.no_grad():
                value = node.target(*(_value(graph, argument) for argument in node.args))
            with graph.graph.inserting_before(node):
                node.replace_all_uses_with(_constant(graph, node, value))
        else:
            continue
        graph.graph.erase_node(node)


def _take_in(graph: GraphModule, convolution: Node, norm: tuple[Any, ...]) -> None:
    """Has a convolution compute with a norm's parameters (gamma, beta, mean, var, eps) in its own."""
    gamma, beta, mean, var, eps = norm
    x, weight, *rest = cast(tuple[Any, ...], convolution.args)
    bias, rest = (rest[0], rest[1:]) if rest else (None, [])
    with graph.graph.inserting_before(convolution):
        dim = _CONVOLUTIONS[convolution.target]
        folded = graph.graph.call_function(folded_weight, (weight, gamma, var, eps, dim))
        shift = graph.graph.call_function(folded_bias, (bias, gamma, beta, mean, var, eps))
    folded.meta["val"], shift.meta["val"] = weight.meta["val"], beta.meta["val"]
    convolution.args = (x, folded, shift, *rest)


def _can_take_in(node: Any) -> bool:
    """Whether a node is a convolution with weights of its own and nobody else to give its result to."""
    if not isinstance(node, Node) or node.target not in _CONVOLUTIONS or len(node.users) != 1:
        return False
    if node.target is torch.ops.aten.linear.default and node.meta["val"].dim() != 2:
        return False
    if _CONVOLUTIONS[node.target] == 1 and len(node.args) > 6 and node.args[6] != 1:
        return False  # of a grouped transposed convolution, dimension 1 has the channels of one group
    weight, bias = node.args[1], node.args[2] if len(node.args) > 2 else None
    return all(n is None or (isinstance(n, Node) and n.op == "get_attr") for n in (weight, bias))


def _same_norm(norm: nn.Module, kind: type[nn.Module]) -> nn.Module:
    """A norm with the same tensors."""
    made = kind(norm.num_features, norm.eps, norm.momentum, device="meta")
    for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        setattr(made, name, getattr(norm, name))
    return made.train(norm.training)


def _module(model: nn.Module, path: str) -> nn.Module | None:
    try:
        return model.get_submodule(path)
    except AttributeError:
        return None


@torch.no_grad()
def _line(norm: nn.BatchNorm1d | nn.BatchNorm2d, node: Node) -> tuple[Tensor, Tensor]:
    """Scale and shift of a norm in evaluation mode, to be broadcast over a node's value."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    shape = (1, -1) + (1,) * (node.meta["val"].dim() - 2)
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale.view(shape), (norm.bias - norm.running_mean * scale).view(shape)


def _constant(graph: GraphModule, node: Node, value: Tensor) -> Node:
    """A tensor in the place of a node."""
    name = f"constant_{node.name}_{len(list(graph.buffers(recurse=False)))}"
    graph.register_buffer(name, value)
    constant = graph.graph.get_attr(name)
    constant.meta = dict(node.meta)
    return constant


def _value(graph: GraphModule, argument: Any) -> Any:
    """What an argument is: a constant, or a tensor of the graph's module."""
    if not isinstance(argument, Node):
        return argument
    if argument.op != "get_attr":
        raise AssertionError(f"{argument} is no parameter")
    path, _, name = str(argument.target).rpartition(".")
    return getattr(graph.get_submodule(path), name)
