"""Before and after: clones in edge dialect."""

from __future__ import annotations

import torch
from executorch.exir import to_edge
from torch import Tensor, nn
from torch.export import Dim, export

from edgetrain.export.passes.dropped_clones import dropped_clones


class Heads(nn.Module):
    """A clone of each kind: behind a permutation, of an input, and of a layout of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        heads = self.layer(x).unflatten(-1, (2, 4)).transpose(1, 2).reshape(-1, 4)
        images = self.layer(x).unflatten(-1, (2, 4))
        return heads @ heads.T, x.clone(), images.clone(memory_format=torch.channels_last) + 1


def test_clones_of_what_lies_in_order_go() -> None:
    model, x = Heads(), torch.randn(3, 5, 8)
    batch = {0: Dim("batch", min=1, max=4)}
    program = to_edge(export(model, (x,), dynamic_shapes=(batch,), strict=True)).exported_program()

    def clones() -> int:
        return len([n for n in program.graph.nodes if "clone" in str(n.target).partition(":")[2][:40]])

    before = clones()
    assert dropped_clones(program) == 1
    assert clones() == before - 1 == 2
    for given in (x, x[:1]):
        for found, expected in zip(program.module(check_guards=False)(given), model(given), strict=True):
            torch.testing.assert_close(found, expected)
    assert dropped_clones(program) == 0
