"""ConvNeXt's blocks as convolution, batch norm, ReLU: no permuted images, no layer norm, no GELU."""

from __future__ import annotations

import torch
from torch import nn

from .changes import Place

_TO_LAST, _BACK = [0, 2, 3, 1], [0, 3, 1, 2]


def conv_norm_relu_instead(place: Place) -> nn.Module | None:
    """The branch of torchvision's `CNBlock`; its layer scale, stochastic depth and sum stay. Linear layers
    become convolutions of 1x1 with the same weights. Batch norm in place of `LayerNorm2d` elsewhere."""
    layer = place.layer
    if isinstance(layer, nn.LayerNorm) and type(layer).__name__ == "LayerNorm2d":
        return _batch_norm_2d(place, layer)
    if type(layer) is not nn.Sequential or len(layer) != 7:
        return None
    convolution, to_last, norm, widen, _, narrow, back = layer
    if not (
        isinstance(convolution, nn.Conv2d)
        and _permutes(to_last, _TO_LAST)
        and isinstance(norm, nn.LayerNorm)
        and isinstance(widen, nn.Linear)
        and isinstance(narrow, nn.Linear)
        and _permutes(back, _BACK)
    ):
        return None
    return nn.Sequential(
        convolution, batch_norm_for(norm, nn.BatchNorm2d), _pointwise(widen), nn.ReLU(), _pointwise(narrow)
    )


def batch_norm_for(norm: nn.LayerNorm, kind: type[nn.BatchNorm1d] | type[nn.BatchNorm2d]) -> nn.Module:
    """A batch norm with the weight and bias of a layer norm over the channels."""
    new = kind(norm.normalized_shape[0])
    with torch.no_grad():
        for own, theirs in ((new.weight, norm.weight), (new.bias, norm.bias)):
            if theirs is not None:
                own.copy_(theirs)
    return new


def _batch_norm_2d(place: Place, norm: nn.LayerNorm) -> nn.Module | None:
    if any(before[-2:] == (1, 1) for before, _ in place.sizes()):
        place.note("stays, since batch norm of a map of one value can't be trained with a single sample")
        return None
    return batch_norm_for(norm, nn.BatchNorm2d)


def _permutes(module: nn.Module, dims: list[int]) -> bool:
    return type(module).__name__ == "Permute" and list(getattr(module, "dims", [])) == dims


def _pointwise(linear: nn.Linear) -> nn.Conv2d:
    new = nn.Conv2d(linear.in_features, linear.out_features, 1, bias=linear.bias is not None)
    with torch.no_grad():
        new.weight.copy_(linear.weight[:, :, None, None])
        if new.bias is not None:
            new.bias.copy_(linear.bias)
    return new
