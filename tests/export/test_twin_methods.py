"""A method that is a part of another is lowered with it, and both are what they were."""

from __future__ import annotations

import torch
from executorch.exir import to_edge
from torch import Tensor, nn

from edgetrain.export.capture import export_graph
from edgetrain.export.twin_methods import joined, parted
from edgetrain.upstream.edge import edge_settings

X, Y = torch.randn(3, 4), torch.randn(3, 4)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.layer(x)) + torch.where(x > 0, 0.0, 1.0)
        # The same mask once more, as each layer of attention makes its own.
        return (hidden + torch.where(x > 0, 0.0, 1.0)).reshape(x.shape[0], 2, 2) * self.scale


class Loss(nn.Module):
    """(x, y) → (loss, largest); the second of what is detached."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        out = self.net(x)
        return (out.flatten(1) - y).square().mean(), out.detach().argmax(1)


class Answer(nn.Module):
    """x → (outputs, largest)"""

    def __init__(self, net: nn.Module, more: bool = False) -> None:
        super().__init__()
        self.net, self.more = net, more

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        out = self.net(x)
        return out.exp() if self.more else out, out.argmax(1)


def test_both_methods_are_there_again() -> None:
    net = Net().eval()
    whole, part = export_graph(Loss(net), (X, Y), 8), export_graph(Answer(net), (X,), 8)
    both = joined(whole, part)
    assert both is not None
    assert len(both.graph_signature.user_outputs) == 4
    lowered = to_edge(both, compile_config=edge_settings()).exported_program()
    first, second = parted(lowered, 2, 1)
    assert len(first.graph_signature.user_inputs) == 2
    assert len(second.graph_signature.user_inputs) == 1
    for program, model, inputs in ((first, Loss(net), (X, Y)), (second, Answer(net), (X,))):
        found = program.module(check_guards=False)(*inputs)
        for value, expected in zip(found, model(*inputs), strict=True):
            torch.testing.assert_close(value, expected)


def test_what_is_no_part_stays_by_itself() -> None:
    net = Net().eval()
    whole = export_graph(Loss(net), (X, Y), 8)
    assert joined(whole, export_graph(Answer(net, more=True), (X,), 8)) is None
    assert joined(whole, export_graph(Answer(Net().eval()), (X,), 8)) is None, "other weights"
    noisy = export_graph(nn.Sequential(net, nn.Dropout()).train(), (X,), 8)
    assert joined(noisy, noisy) is None, "random numbers are drawn for each"
