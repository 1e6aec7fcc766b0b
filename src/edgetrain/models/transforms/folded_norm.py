"""A batch norm with stored statistics as part of the layer before it."""

from __future__ import annotations

import torch
from torch import nn

from ...artifacts.transforms import FoldedNorm
from ...errors import InputError
from .new_layer import put_layer

FOLDABLE = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def fold_norm(model: nn.Module, record: FoldedNorm) -> nn.Module:
    """Scales the layer's weight and sets its bias so that it computes what both did in evaluation.

    Raises:
        InputError: they are no such pair.
    """
    layer, norm = model.get_submodule(record.convolution), model.get_submodule(record.norm)
    if not (isinstance(layer, FOLDABLE) and isinstance(norm, NORMS) and norm.running_mean is not None):
        raise InputError(f"{record.norm} is no batch norm that can become part of {record.convolution}")
    assert norm.running_var is not None
    if len(layer.weight) != norm.num_features:
        raise InputError(f"{record.norm} has other channels than {record.convolution}")
    with torch.no_grad():
        # In float64, and rounded once: deep models add up what is rounded in each layer.
        scale = (norm.running_var.double() + norm.eps).rsqrt()
        if norm.weight is not None:
            scale = scale * norm.weight.double()
        bias = -norm.running_mean.double() * scale
        if norm.bias is not None:
            bias = bias + norm.bias.double()
        if layer.bias is not None:
            bias = bias + layer.bias.double() * scale
        weight = layer.weight.double() * scale.view(-1, *[1] * (layer.weight.dim() - 1))
    trained = layer.weight.requires_grad
    layer.weight = nn.Parameter(weight.to(layer.weight.dtype), requires_grad=trained)
    layer.bias = nn.Parameter(bias.to(layer.weight.dtype), requires_grad=trained)
    return put_layer(model, record.norm, nn.Identity().train(norm.training))
