"""Indices of max-pools as places in their windows: the gradients stay the same, and bytes are kept."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from edgetrain.export.joint import add_backward
from edgetrain.export.passes.narrow_pool_indices import narrow_pool_indices
from edgetrain.export.passes.reshaped_views import reshaped_views

aten = torch.ops.aten


class Pooled(nn.Module):
    """(loss) of weighted inputs after a pool, [B, 2, H, W] or [B, 2, W]."""

    def __init__(self, pool: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.pool = pool
        self.weight = nn.Parameter(torch.randn(shape))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.pool(x * self.weight)).sum()


class Unpooled(nn.Module):
    """Reads indices in forward, too."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 8, 8))

    def forward(self, x: Tensor) -> Tensor:
        y, indices = nn.functional.max_pool2d(x * self.weight, 2, return_indices=True)
        return (y * indices).sum()


def joint(model: nn.Module, x: Tensor) -> ExportedProgram:
    program = add_backward(
        export(model, (x,), dynamic_shapes=({0: Dim("batch", min=1, max=8)},), strict=True)
    )
    reshaped_views(program)
    return program


def kept_types(program: ExportedProgram) -> list[torch.dtype]:
    """Of the places in windows, which are differences."""
    return [node.meta["val"].dtype for node in program.graph.nodes if node.target is aten.sub.Tensor]


@pytest.mark.parametrize(
    ("pool", "shape", "kept"),
    [
        (nn.MaxPool2d(2), (2, 8, 8), torch.uint8),
        (nn.MaxPool2d(3, 2, 1), (2, 9, 11), torch.uint8),
        (nn.MaxPool2d((2, 3), (3, 1), (1, 1), (2, 1)), (2, 9, 7), torch.uint8),
        (nn.MaxPool2d(3, 2, ceil_mode=True), (2, 8, 10), torch.uint8),
        (nn.MaxPool2d(2), (2, 4, 254), torch.uint8),
        (nn.MaxPool2d(2), (2, 4, 256), torch.int32),
        (nn.MaxPool1d(3, 2), (2, 700), torch.uint8),
    ],
    ids=str,
)
def test_gradients_stay_the_same(pool: nn.Module, shape: tuple[int, ...], kept: torch.dtype) -> None:
    torch.manual_seed(0)
    model, x = Pooled(pool, shape), torch.randn(3, *shape)
    x[0] = torch.nan  # wins every window
    x[1] = -torch.inf
    x[2, 0] = 0  # the first of equal ones
    program = joint(model, x)
    expected = program.graph_module(model.weight.detach(), x)[1]
    assert narrow_pool_indices(program) == 1
    assert kept_types(program) == [kept]
    found = program.graph_module(model.weight.detach(), x)[1]
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    assert narrow_pool_indices(program) == 0


def test_indices_that_others_read_stay() -> None:
    assert narrow_pool_indices(joint(Unpooled(), torch.randn(3, 2, 8, 8))) == 0
