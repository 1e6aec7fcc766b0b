"""Activations that cost more than ReLU → ReLU."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...models.transforms.traced_forward import mode_set

if TYPE_CHECKING:
    from .changes import Place

_TO_RELU = (nn.ReLU6, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.LeakyReLU)
# What modules of one's own usually are.
_KNOWN = (
    *(nn.SiLU(), nn.Hardswish(), nn.Hardsigmoid(), nn.GELU(), nn.GELU("tanh")),
    *(nn.Mish(), nn.ReLU6(), nn.Sigmoid()),
)
# Two sets, since what a module computes may depend on all of its input.
_POINTS = [torch.linspace(-9, 9, 721).view(1, 1, 1, -1), torch.linspace(-7, 12, 400).view(1, 1, 20, -1)]


def relu_instead(place: Place) -> nn.Module | None:
    """ReLU, in place where the other was."""
    if type(place.layer) not in _TO_RELU:
        return None
    return nn.ReLU(inplace=bool(getattr(place.layer, "inplace", False)))


def known_activation(module: nn.Module) -> nn.Module | None:
    """PyTorch's layer for an activation that somebody wrote as a module of their own."""
    if any(True for _ in module.parameters()) or any(True for _ in module.buffers()):
        return None
    with mode_set(module, training=False):
        return activation_by_values(module)


def activation_by_values(function: Callable[[Tensor], Any]) -> nn.Module | None:
    """PyTorch's layer that has the same values as a function; None where there is none, or it fails."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            values = [function(points.clone()) for points in _POINTS]
        except Exception:  # it is something else
            return None
        found = (known for known in _KNOWN if all(map(_equal, values, map(known, _POINTS))))
        return copy.deepcopy(next(found, None))


def _equal(found: Any, expected: Tensor) -> bool:
    same_shape = isinstance(found, Tensor) and found.shape == expected.shape
    return same_shape and torch.allclose(found, expected, rtol=1e-4, atol=1e-5)
