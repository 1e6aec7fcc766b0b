"""Upsampling as products and views: values and gradients in float64, against PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

from edgetrain.export.compositions.upsampling import (
    UPSAMPLING,
    upsample_bicubic,
    upsample_linear,
    upsample_nearest,
)

SIZES = [(5, 7), (8, 8), (2, 3), (1, 4), (1, 1)]
SETTINGS: list[dict[str, Any]] = [
    {"size": (9, 4)},  # larger and smaller
    {"size": (1, 1)},
    {"size": (8, 8)},
    {"size": (24, 24)},
    {"scale_factor": (2.0, 2.0)},
    {"scale_factor": (1.7, 3.3)},  # which ends within an input's reach
    {"scale_factor": (1.0, 3.0)},
    {"scale_factor": (1.1, 0.6)},  # as many as before, but elsewhere
]
MODES = ["nearest", "nearest-exact", "bilinear", "bilinear corners", "bicubic", "bicubic corners"]


def ours(x: Tensor, mode: str, settings: dict[str, Any]) -> Tensor:
    """As `interpolate`."""
    name, _, corners = mode.partition(" ")
    sizes, factors = settings.get("size"), settings.get("scale_factor")
    if name.startswith("nearest"):
        return upsample_nearest(x, sizes, factors, exact=name.endswith("exact"))
    function = upsample_bicubic if name == "bicubic" else upsample_linear
    return function(x, sizes, bool(corners), factors)


def check(x: Tensor, mode: str, settings: dict[str, Any]) -> None:
    name, _, corners = mode.partition(" ")
    keywords = {} if name.startswith("nearest") else {"align_corners": bool(corners)}
    expected = F.interpolate(x, mode=name, **keywords, **settings)
    found = ours(x, mode, settings)
    grad = torch.randn_like(expected)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(y, x, grad)[0] for y in (found, expected)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", MODES)
def test_images(mode: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    for settings in SETTINGS:
        if all(int(n * f) for n, f in zip(size, settings.get("scale_factor", (1, 1)), strict=True)):
            check(x, mode, settings)


@pytest.mark.parametrize("dims", [1, 3])
def test_sequences_and_volumes(dims: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, *(4, 5, 3)[:dims], dtype=torch.float64, requires_grad=True)
    linear = {1: "linear", 3: "trilinear"}[dims]
    for mode in ("nearest", "nearest-exact", linear, f"{linear} corners"):
        for settings in ({"size": (7, 5, 9)[:dims]}, {"scale_factor": (2.0,) * dims}):
            check(x, mode, settings)


def test_rounding_is_that_of_float32() -> None:
    x = torch.randn(1, 2, 30, 30)
    for mode in ("bilinear", "bicubic"):
        exact = F.interpolate(x.double(), size=(301, 299), mode=mode)
        found = ours(x, mode, {"size": (301, 299)})
        pytorch = F.interpolate(x, (301, 299), mode=mode)
        assert (found - exact).abs().max() <= 2 * (pytorch - exact).abs().max()


def operators(function: Callable[..., Tensor], size: list[int], *arguments: Any) -> set[str]:
    graph = make_fx(lambda x: function(x, *arguments))(torch.randn(2, 3, *size)).graph
    return {str(node.target) for node in graph.nodes if node.op == "call_function"}


def test_their_graphs_have_no_indices() -> None:
    for operator, function in UPSAMPLING.items():
        dims = int(str(operator).partition("d.vec")[0][-1])
        corners = [] if "nearest" in str(operator) else [False]
        for size, count in ((4, 8), (4, 7), (1, 8)):
            called = operators(function, [size] * dims, [count] * dims, *corners, None)
            assert not [name for name in called if "index" in name]
    doubled = operators(upsample_nearest, [4, 5], None, [2.0, 2.0])
    assert not [name for name in doubled if "mm" in name or "convolution" in name]
