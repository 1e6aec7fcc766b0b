"""Attention in products: values and gradients in float64, against PyTorch's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention as pytorch

from edgetrain.export.capture import export_graph
from edgetrain.export.compositions.attention import scaled_dot_product_attention
from edgetrain.export.joint import add_backward
from edgetrain.export.steps.composed import compose

BLIND = torch.rand(5, 6, generator=torch.Generator().manual_seed(0)) < 0.5
BLIND[2] = False  # this one may look nowhere
NUMBERS = torch.randn(2, 1, 5, 6, dtype=torch.float64)
MASKS = {
    "none": None,
    "flags": BLIND,
    "numbers": NUMBERS,
    "infinities": NUMBERS.masked_fill(~BLIND, -torch.inf),
}


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(("scale", "heads"), [(None, 6), (0.3, 6), (None, 2), (0.3, 1)])
@pytest.mark.parametrize("mask", [*MASKS, "causal"])
def test_attention(mask: str, scale: float | None, heads: int, dropout: float) -> None:
    torch.manual_seed(0)
    given = [
        torch.randn(2, h, n, 8, dtype=torch.float64, requires_grad=True)
        for h, n in ((6, 5), (heads, 6), (heads, 6))
    ]
    settings = {"scale": scale, "is_causal": mask == "causal", "dropout_p": dropout, "enable_gqa": heads < 6}
    results: list[tuple[Tensor, ...]] = []
    for function in (pytorch, scaled_dot_product_attention):
        torch.manual_seed(1)  # the same elements are dropped
        y = function(*given, attn_mask=MASKS.get(mask), **settings)
        results.append((y, *torch.autograd.grad(y, given, torch.ones_like(y).cumsum(-1))))
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


class _Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 24)

    def forward(self, x: Tensor) -> Tensor:
        heads = (t.unflatten(-1, (2, 4)).transpose(1, 2) for t in self.layer(x).chunk(3, -1))
        return pytorch(*heads, dropout_p=0.1).square().mean()


def test_nothing_is_left_of_the_operator() -> None:
    """It draws random numbers, so that dead code elimination alone would leave it in the graph."""
    program = export_graph(_Dropping().train(), [torch.randn(3, 6, 8)], 4)
    assert compose(program) == 1
    called = [str(node.target) for node in add_backward(program).graph.nodes]
    assert called.count("aten._softmax.default") == called.count("aten.native_dropout.default") == 1
