"""Calls that kernels refuse are named before there is a program."""

from __future__ import annotations

from typing import Any

import torch
from executorch.exir import to_edge
from torch import Tensor, nn
from torch.export import Dim, export

from edgetrain.export.kernel_limits import refused
from edgetrain.upstream.edge import edge_settings


class Calls(nn.Module):
    """Calls a function of one tensor."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.function(x)
        return found


def reasons(function: Any, x: Tensor) -> list[str]:
    """Why calls of a function are refused, in its graph in edge dialect."""
    program = export(Calls(function), (x,), dynamic_shapes=({0: Dim("batch", min=1, max=8)},), strict=True)
    edge = to_edge(program, compile_config=edge_settings()).exported_program()
    return [reason for node in edge.graph.nodes if (reason := refused(node))]


def test_dimensions() -> None:
    weight = torch.randn(2, 1, 3, 3, 3)
    found = reasons(lambda x: nn.functional.conv3d(x, weight), torch.randn(4, 1, 5, 5, 5))
    assert found == ["tensors of 5 dimensions"]
    assert not reasons(lambda x: nn.functional.conv2d(x, weight[:, :, 0]), torch.randn(4, 1, 5, 5))


def test_types() -> None:
    assert "complex64 numbers" in reasons(lambda x: torch.fft.rfft(x).real, torch.randn(4, 8))


def test_random_numbers_that_can_not_be_fixed() -> None:
    x = torch.randn(4, 3)
    assert not reasons(lambda x: x + torch.rand(x.shape), x)
    (inner,) = reasons(lambda x: x + torch.rand((3, x.shape[0])).T, x)
    assert "another length than the first" in inner
    (wide,) = reasons(lambda x: x + torch.rand(x.shape, dtype=torch.float64), x)
    assert wide == "float64 numbers"
