"""Layers that drop something while training."""

from __future__ import annotations

from torch import nn

from ...models.transforms.layers import LAYERS
from ...upstream.layers import dropout_types
from .changes import Place

# Their random numbers have no kernel in the runtime.
_OTHER_KINDS = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
# torchvision's and timm's: the residual branch of a sample is dropped.
_OF_BRANCHES = ("StochasticDepth", "DropPath")


def nothing_instead(place: Place) -> nn.Module | None:
    """Nothing, for dropout and stochastic depth; evaluation knows neither."""
    if isinstance(place.layer, dropout_types()):
        return nn.Identity()
    return no_stochastic_depth(place)


def not_in_place(place: Place) -> nn.Module | None:
    """The same dropout, not in place: captured in place it has no kernel in the runtime, and ReLU's gradient
    needs what ReLU returned, which that of other activations doesn't."""
    layer = place.layer
    if type(layer) not in LAYERS.values() or not isinstance(layer, dropout_types()) or not layer.inplace:
        return None
    return type(layer)(layer.p)


def no_stochastic_depth(place: Place) -> nn.Module | None:
    """Nothing, for stochastic depth."""
    return nn.Identity() if type(place.layer).__name__ in _OF_BRANCHES else None


def plain_dropout_instead(place: Place) -> nn.Module | None:
    """Dropout of single values, set to zero, for other kinds."""
    layer = place.layer
    return nn.Dropout(layer.p, layer.inplace) if isinstance(layer, _OTHER_KINDS) else None
