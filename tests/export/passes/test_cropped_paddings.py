"""Before and after: padding that cuts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgetrain.export.capture import export_graph


class Pad(nn.Module):
    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.sizes = sizes

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(F.pad(x, self.sizes, value=0.5))


def paddings(program: torch.export.ExportedProgram) -> list[list[int]]:
    return [list(node.args[1]) for node in program.graph.nodes if "pad" in str(node.target)]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("sizes", [[1, -1], [-2, 0, 0, -1], [1, -1, -2, 2], [-1, -1, 3, 1, -1, 0]], ids=str)
def test_padding_cuts_first(sizes: list[int], strict: bool) -> None:
    torch.manual_seed(0)
    model, x = Pad(sizes), torch.randn(3, 2, 5, 6)
    program = export_graph(model, (x,), 8, strict=strict)
    assert paddings(program) == [[max(n, 0) for n in sizes]]
    functional = program.run_decompositions()
    for batch in (x, x[:1]):
        for found in (program, functional):
            torch.testing.assert_close(found.module(check_guards=False)(batch), model(batch))


def test_other_padding_stays() -> None:
    assert paddings(export_graph(Pad([1, 2]), (torch.randn(2, 3, 4),), 8)) == [[1, 2]]
