"""Linear layers of single vectors, which the runtime's kernel refuses."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgetrain.export.capture import export_graph

aten = torch.ops.aten


class Both(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 3), nn.Linear(3, 2, bias=False)

    def forward(self, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        return self.second(torch.relu(self.first(x))), self.first(rows)


def test_vectors_become_rows_and_rows_stay() -> None:
    model, given = Both(), (torch.randn(4), torch.randn(5, 4))
    program = export_graph(model, given, 1, strict=False)
    linears = [node for node in program.graph.nodes if node.target is aten.linear.default]
    assert [node.args[0].meta["val"].dim() for node in linears] == [2, 2, 2]
    assert sum(node.target is aten.squeeze.dim for node in program.graph.nodes) == 2
    for found, expected in zip(program.module()(*given), model(*given), strict=True):
        torch.testing.assert_close(found, expected)
