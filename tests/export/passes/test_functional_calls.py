"""Calls that write become calls that return, where nobody can tell."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgetrain.export.capture import export_graph


class Block(nn.Module):
    """Convolution, norm, activation in place; a sum in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.relu6(self.norm(self.conv(x)), inplace=True)
        y = self.norm(self.conv(y))
        y += x
        return y.relu_()


class Seen(nn.Module):
    """What is written is read by others: through a view, and as dropout in evaluation returned it."""

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        view = y.flatten(1)
        y.relu_()
        z = x * 3
        kept = nn.functional.dropout(z, training=False)
        z.neg_()
        return view.sum(1) + kept.flatten(1).sum(1)


class Filled(nn.Module):
    """Dropout whose arguments have other names in place; a bias of attention, filled where a mask says."""

    def forward(self, x: Tensor) -> Tensor:
        bias = torch.zeros_like(x).masked_fill_(x < 0, -10.0)
        return nn.functional.dropout(nn.functional.hardswish(x * 2), 0.2, self.training, inplace=True) + bias


class Mixed(nn.Module):
    """Whole numbers take a sum; out of place it would be one of floats."""

    def forward(self, x: Tensor) -> Tensor:
        half = (x * 2).half()
        return (half * 1).add_(x)


def test_active_dropout_stays_as_the_module_says() -> None:
    program = export_graph(Filled().train(), (torch.randn(3, 3, 4, 4),), 8)
    assert [str(n.target) for n in program.graph.nodes if "dropout" in str(n.target)] == [
        "aten.dropout_.default"
    ]


@pytest.mark.parametrize(
    ("kind", "left"),
    [(Block, 0), (Filled, 0), (Seen, 2), (Mixed, 1)],
    ids=["block", "filled", "seen", "mixed"],
)
def test_only_what_nobody_can_tell_is_rewritten(kind: type[nn.Module], left: int) -> None:
    torch.manual_seed(0)
    model, x = kind().eval(), torch.randn(3, 3, 4, 4)
    program = export_graph(model, (x,), 8)
    written = [n for n in program.graph.nodes if str(n.target).split(".")[-2:][0].endswith("_")]
    assert len(written) == left
    torch.testing.assert_close(program.module(check_guards=False)(x), model(x))
