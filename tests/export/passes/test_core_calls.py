"""Reshapes and masked fills become core operators with the same numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgetrain.export.capture import export_graph
from edgetrain.export.passes.core_calls import core_calls

aten = torch.ops.aten


class Model(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        filled = x.reshape(x.shape[0], -1).masked_fill(x.reshape(-1, 12) > 0, -1)
        return filled, x.reshape(-1)


def test_numbers_stay() -> None:
    model, x = Model(), torch.randn(3, 3, 4)
    program = export_graph(model, (x,), 8)
    assert core_calls(program) == 4
    targets = {node.target for node in program.graph.nodes}
    assert not {aten.reshape.default, aten.masked_fill.Scalar} & targets
    assert {aten.view.default, aten.where.self} <= targets
    for count in (3, 1, 8):
        x = torch.randn(count, 3, 4)
        for found, expected in zip(program.module(check_guards=False)(x), model(x), strict=True):
            torch.testing.assert_close(found, expected)
