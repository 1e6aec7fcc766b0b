"""Weights of their own for layers that XNNPACK's passes change."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgetrain.export.capture import export_graph
from edgetrain.export.steps.unshared_weights import unshare_weights


class Shared(nn.Module):
    def __init__(self, layer: nn.Module, times: int, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.layer, self.times, self.norm = layer, times, norm or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.times):
            x = self.norm(self.layer(x))
        return x


@pytest.mark.parametrize(
    ("model", "shape", "copies"),
    [
        (Shared(nn.Conv1d(3, 3, 1), 3), (3, 5), 4),
        (Shared(nn.Conv1d(3, 3, 1, bias=False), 2), (3, 5), 1),
        (Shared(nn.Conv1d(3, 3, 1), 1), (3, 5), 0),
        (Shared(nn.Conv2d(3, 3, 1), 2), (3, 5, 5), 0),
        (Shared(nn.Conv2d(3, 3, 1), 2, nn.BatchNorm2d(3)), (3, 5, 5), 2),
        (Shared(nn.ConvTranspose1d(3, 3, 1), 2), (3, 5), 2),
        (Shared(nn.Linear(4, 4), 2), (4,), 0),
        (Shared(nn.Linear(4, 4), 2, nn.BatchNorm1d(4)), (4,), 2),
    ],
)
def test_only_what_is_changed_is_copied(model: nn.Module, shape: tuple[int, ...], copies: int) -> None:
    x = torch.randn(2, *shape)
    program = export_graph(model.eval(), (x,), 4)
    assert unshare_weights(program) == copies
    torch.testing.assert_close(program.module()(x), model(x))
