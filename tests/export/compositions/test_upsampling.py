"""Bilinear upsampling as products: values and gradients in float64, against PyTorch's."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from edgetrain.export.compositions.upsampling import upsample_bilinear2d

SIZES = [(5, 7), (8, 8), (2, 3), (1, 4), (1, 1)]
SETTINGS: list[dict[str, Any]] = [
    {"size": (9, 4)},  # larger and smaller
    {"size": (1, 1)},
    {"size": (8, 8)},
    {"scale_factor": (2.0, 2.0)},
    {"scale_factor": (1.7, 3.3)},  # which ends within an input's reach
    {"scale_factor": (1.0, 3.0)},
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("align_corners", [False, True])
def test_upsampling(align_corners: bool, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    for settings in SETTINGS:
        expected = F.interpolate(x, mode="bilinear", align_corners=align_corners, **settings)
        found = upsample_bilinear2d(x, settings.get("size"), align_corners, settings.get("scale_factor"))
        grad = torch.randn_like(expected)
        torch.testing.assert_close(found, expected)
        gradients = [torch.autograd.grad(y, x, grad)[0] for y in (found, expected)]
        torch.testing.assert_close(*gradients)


def test_rounding_is_that_of_float32() -> None:
    x = torch.randn(1, 2, 30, 30)
    exact = F.interpolate(x.double(), size=(301, 299), mode="bilinear")
    ours, pytorch = (
        upsample_bilinear2d(x, (301, 299), False, None),
        F.interpolate(x, (301, 299), mode="bilinear"),
    )
    assert (ours - exact).abs().max() <= 2 * (pytorch - exact).abs().max()


def test_its_graph_has_no_indices() -> None:
    for height, width in itertools.product((1, 4), (1, 4)):
        graph = torch.fx.experimental.proxy_tensor.make_fx(
            lambda x: upsample_bilinear2d(x, (8, 8), False, None)
        )(torch.randn(2, 3, height, width))
        assert not [n for n in graph.graph.nodes if "index" in str(n.target)]
