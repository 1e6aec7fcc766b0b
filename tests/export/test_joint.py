"""Which operators a joint graph has."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgetrain.export.capture import export_graph
from edgetrain.export.joint import add_backward


class Attention(nn.Module):
    """Several heads, no mask and no dropout: what PyTorch has a fused operator for."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 24)

    def forward(self, x: Tensor) -> Tensor:
        heads = (t.unflatten(-1, (2, 4)).transpose(1, 2) for t in self.layer(x).chunk(3, -1))
        return functional.scaled_dot_product_attention(*heads).square().mean()


def test_attention_is_written_out() -> None:
    """The fused form has no kernel for its backward."""
    joint = add_backward(export_graph(Attention(), [torch.randn(3, 6, 8)], 4))
    called = {str(node.target) for node in joint.graph.nodes if node.op == "call_function"}
    assert "aten._softmax.default" in called
    assert not [name for name in called if "scaled_dot_product" in name]
