"""What is left of a graph when what nothing needs is removed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgetrain.export.passes.rewriting import calls, finish


class Twice(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        self.layer(x)
        x.exp()
        return self.layer(x)


@pytest.mark.parametrize(
    ("layer", "training", "left"),
    [
        (nn.BatchNorm1d(4), True, 2),
        (nn.BatchNorm1d(4), False, 1),
        (nn.BatchNorm1d(4, track_running_stats=False), True, 1),
        (nn.InstanceNorm1d(4, track_running_stats=True), True, 2),
        (nn.InstanceNorm1d(4), True, 1),
    ],
)
def test_statistics_are_kept_where_nobody_reads_the_result(
    layer: nn.Module, training: bool, left: int
) -> None:
    program = torch.export.export(Twice(layer).train(training), (torch.randn(3, 4, 5),))
    finish(program)
    normalisations = (torch.ops.aten.batch_norm.default, torch.ops.aten.instance_norm.default)
    assert len(calls(program, *normalisations)) == left
    assert not calls(program, torch.ops.aten.exp.default)
