"""Gradients of convolutions' inputs alone: the same numbers, and inputs are kept for nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from edgetrain.export.joint import add_backward, gradient_names
from edgetrain.export.passes.gradients_without_inputs import gradients_without_inputs

aten = torch.ops.aten


class Frozen(nn.Module):
    """A scale of the inputs and a bias are trained, the convolution between them is not."""

    def __init__(self, layer: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(shape))
        self.layer = layer
        if isinstance(layer, nn.Conv1d | nn.Conv2d):
            layer.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.layer(torch.tanh(x * self.scale))).sum()


def joint(model: nn.Module, x: Tensor) -> ExportedProgram:
    batch = Dim("batch", min=1, max=8)
    return add_backward(export(model, (x,), dynamic_shapes=({0: batch},), strict=True))


def run(program: ExportedProgram, x: Tensor) -> dict[str, Tensor]:
    """Gradients by name."""
    names = program.graph_signature.inputs_to_parameters
    given = [
        program.state_dict[names[node.name]] if node.name in names else x
        for node in program.graph.nodes
        if node.op == "placeholder"
    ]
    with torch.no_grad():
        _, *gradients = program.graph_module(*given)
    return dict(zip(gradient_names(program), gradients, strict=True))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(4, 6, 3), (4, 7, 8)),
        (nn.Conv2d(4, 6, 3, 2, 1, bias=False), (4, 8, 7)),
        (nn.Conv2d(4, 8, (2, 3), (3, 2), (0, 2), (2, 1), groups=2), (4, 12, 9)),
        (nn.Conv2d(4, 4, 3, 2, groups=4), (4, 8, 8)),
        (nn.Conv1d(4, 6, 5, 3, 2), (4, 20)),
        (nn.AvgPool2d(2), (4, 6, 7)),
    ],
    ids=str,
)
def test_gradients_stay_the_same(layer: nn.Module, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model, x = Frozen(layer, shape).double(), torch.randn(3, *shape).double()
    program = joint(model, x)
    expected = run(program, x)
    assert gradients_without_inputs(program) == 1
    found = run(program, x)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, msg=name)
    assert not [n for n in program.graph.nodes if n.target is aten.convolution_backward.default]
    assert gradients_without_inputs(program) == 0


def test_gradients_of_weights_need_inputs() -> None:
    model = Frozen(nn.Conv2d(4, 6, 3), (4, 7, 8)).requires_grad_(True)
    assert gradients_without_inputs(joint(model, torch.randn(3, 4, 7, 8))) == 0
