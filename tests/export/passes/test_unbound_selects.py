"""Before and after: selections of all places along a dimension."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgetrain.export.capture import export_graph
from edgetrain.export.joint import add_backward
from edgetrain.export.passes.unbound_selects import unbound_selects

aten = torch.ops.aten


class Parts(nn.Module):
    """Three parts twice over, one of them used twice; two places of three; parts around a change in place."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 12)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x).unflatten(-1, (3, 4))
        all_of_it = y[:, 0] * y[:, -2].exp() + y[:, 2] - y[:, 0].tanh()
        some = self.layer(x * 2).unflatten(-1, (3, 4))
        z = self.layer(x * 3).unflatten(-1, (2, 6))
        before = z[:, 0].sum()
        z.mul_(2)
        return (all_of_it + some[:, 0] * some[:, 1]).square().mean() + before * z[:, 1].mean()


def test_parts_at_once() -> None:
    torch.manual_seed(0)
    model, x = Parts(), torch.randn(3, 6)
    program = export_graph(model, [x], 4)
    selects = [n for n in program.graph.nodes if n.target is aten.select.int]
    assert unbound_selects(program) == 1
    left = [n for n in program.graph.nodes if n.target is aten.select.int]
    assert len(left) == len(selects) - 4
    assert unbound_selects(program) == 0
    torch.testing.assert_close(program.module(check_guards=False)(x), model(x))
    joint = add_backward(program)
    model(x).backward()
    placeholders = [n.name for n in joint.graph.nodes if n.op == "placeholder"]
    given = [
        dict(model.named_parameters())[joint.graph_signature.inputs_to_parameters[name]]
        if name in joint.graph_signature.inputs_to_parameters
        else x
        for name in placeholders
    ]
    with torch.no_grad():
        _, *gradients = joint.graph_module(*given)
    for found, parameter in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad)
