"""Before and after: views of weights."""

from __future__ import annotations

import torch
from executorch.exir import to_edge
from executorch.exir.dialects._ops import ops as exir_ops
from torch import Tensor, nn
from torch.export import export

from edgetrain.export.passes.copied_weight_views import copied_weight_views

VIEW = exir_ops.edge.aten.view_copy.default


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(6))

    def forward(self, x: Tensor) -> Tensor:
        return (x.view(2, 6, 1) * self.scale.view(6, 1)).view(2, 6)


def test_views_of_weights_view_a_copy() -> None:
    model, x = Scaled(), torch.randn(2, 6)
    program = to_edge(export(model, (x,), strict=True)).exported_program()
    weights = set(program.graph_signature.inputs_to_parameters)

    def viewed() -> list[str]:
        return [n.args[0].name for n in program.graph.nodes if n.target is VIEW]

    assert len(set(viewed()) & weights) == 1
    assert copied_weight_views(program) == 1
    assert not set(viewed()) & weights
    assert len(viewed()) == 3, "other views stay as they are"
    torch.testing.assert_close(program.module(check_guards=False)(x), model(x))
    assert copied_weight_views(program) == 0
