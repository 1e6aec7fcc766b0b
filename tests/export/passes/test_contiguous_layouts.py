"""Before and after: graphs and weights in channels_last."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgetrain.export.capture import export_graph

aten = torch.ops.aten


class Images(nn.Module):
    """[B, 3, 6, 5] → [B, 210]; its view is none of a contiguous tensor."""

    def __init__(self, *, in_forward: bool) -> None:
        super().__init__()
        self.in_forward = in_forward
        self.first = nn.Conv2d(3, 7, 3, padding=1)
        self.second = nn.Conv2d(7, 7, 3, padding=1)
        self.second.weight = nn.Parameter(self.second.weight, requires_grad=False)
        self.register_buffer("mean", torch.rand(1, 3, 6, 5))
        self.register_buffer(
            "wide", torch.rand(7, 1).expand(7, 2)
        )  # lies in less memory than it has room for

    def forward(self, x: Tensor) -> Tensor:
        if self.in_forward:
            x = x.to(memory_format=torch.channels_last)
        x = self.second(torch.relu(self.first(x - self.mean))).contiguous(memory_format=torch.channels_last)
        return x.permute(0, 2, 3, 1).view(-1, 210) + self.wide.sum()


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("in_forward", [True, False])
def test_everything_is_contiguous(in_forward: bool, strict: bool) -> None:
    torch.manual_seed(0)
    model, x = Images(in_forward=in_forward).to(memory_format=torch.channels_last), torch.randn(3, 3, 6, 5)
    assert not model.first.weight.is_contiguous()
    program = export_graph(model, (x,), 8, strict=strict)
    expected = model(x)
    weights = {**program.state_dict, **program.constants}
    assert all(tensor.is_contiguous() for tensor in weights.values())
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert {name for name, p in program.named_parameters() if p.requires_grad} == {
        "first.weight",
        "first.bias",
        "second.bias",
    }
    functional = program.run_decompositions()
    for node in functional.graph.nodes:
        if node.op == "placeholder" or node.target in (aten.convolution.default, aten.relu.default):
            assert node.meta["val"].is_contiguous(), node
    for found in (program, functional):
        torch.testing.assert_close(found.module(check_guards=False)(x), expected)


def test_tied_weights_stay_one() -> None:
    tied = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)).to(memory_format=torch.channels_last)
    tied[1].weight = tied[0].weight
    program = export_graph(tied, (torch.randn(2, 3, 8, 8),), 8)
    found = [tensor for name, tensor in program.state_dict.items() if "weight" in name]
    assert found[0] is found[-1]
    assert found[0].is_contiguous()


def test_what_is_contiguous_stays_as_it_is() -> None:
    model = nn.Linear(3, 2)
    program = export_graph(model, (torch.randn(2, 3),), 8)
    assert program.state_dict["weight"] is model.weight
