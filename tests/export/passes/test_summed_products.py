"""Sums of products become products."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from edgetrain.export.passes.summed_products import summed_products

aten = torch.ops.aten


class Sums(nn.Module):
    """aᵢᵀbᵢ over the parts of a and b, [B, 3 n] and [B, 2 n], and the rows of a's parts."""

    def __init__(self, parts: int, transposed: bool) -> None:
        super().__init__()
        self.parts, self.transposed = parts, transposed

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        lefts = [a[:, 3 * i : 3 * i + 3].contiguous() for i in range(self.parts)]
        rights = [b[:, 2 * i : 2 * i + 2].contiguous() for i in range(self.parts)]
        products = [x.permute(1, 0) @ y for x, y in zip(lefts, rights, strict=True)]
        if self.transposed:
            products = [product.permute(1, 0) for product in products]
        total, rows = products[0], lefts[0].sum([0])
        for product, left in zip(products[1:], lefts[1:], strict=True):
            total, rows = total + product, rows + left.sum([0])
        return total * 2, rows


@pytest.mark.parametrize(("parts", "merged"), [(5, 10), (4, 8), (3, 0)])
@pytest.mark.parametrize("transposed", [False, True])
def test_from_four_parts_on(parts: int, merged: int, transposed: bool) -> None:
    torch.manual_seed(0)
    a, b = torch.randn(6, 3 * parts), torch.randn(6, 2 * parts)
    batch = torch.export.Dim("batch", min=1, max=8)
    program = torch.export.export(
        Sums(parts, transposed), (a, b), dynamic_shapes=({0: batch}, {0: batch})
    ).run_decompositions()
    expected = program.module()(a, b)
    assert summed_products(program) == merged
    calls = Counter(node.target for node in program.graph.nodes)
    assert calls[aten.mm.default] == (1 if merged else parts)
    assert calls[aten.sum.dim_IntList] == (1 if merged else parts)
    assert calls[aten.add.Tensor] == (0 if merged else 2 * (parts - 1))
    for found, wanted in zip(program.module()(a, b), expected, strict=True):
        torch.testing.assert_close(found, wanted)
    # Of another batch than the one that was traced.
    torch.testing.assert_close(program.module()(a[:5], b[:5])[1], sum(a[:5].split(3, 1)).sum(0))


class Shared(nn.Module):
    """Products that are needed by themselves, too."""

    def forward(self, a: Tensor) -> tuple[Tensor, ...]:
        products = [(a * i).permute(1, 0) @ a for i in range(1, 6)]
        return sum(products[1:], products[0]), *products


def test_what_others_need_stays() -> None:
    program = torch.export.export(Shared(), (torch.randn(3, 2),)).run_decompositions()
    assert summed_products(program) == 0
