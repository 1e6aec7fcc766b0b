"""Calls of a captured graph as layers again, and those that have to stay calls."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgetrain.convert.layers_put_back import module_of_program


def _captured(model: nn.Module, x: Tensor) -> nn.Module:
    program = torch.export.export(model.eval(), (x,), strict=True)
    return module_of_program(program, "m.pt2").eval()


def _kinds(model: nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in model.modules() if not isinstance(layer, torch.fx.GraphModule)]


IMAGE = (2, 4, 9, 9)
LAYERS: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.Conv2d(4, 6, 3, stride=2, padding=(1, 0), groups=2, bias=False), IMAGE),
    (nn.Conv2d(4, 6, (3, 1), dilation=2), IMAGE),
    (nn.Conv1d(4, 6, 3), (2, 4, 9)),
    (nn.Conv3d(2, 3, 2, stride=(1, 2, 1)), (2, 2, 5, 5, 5)),
    (nn.Linear(9, 4, bias=False), IMAGE),
    (nn.GroupNorm(2, 4, eps=0.1), IMAGE),
    (nn.LayerNorm((9, 9), bias=False), IMAGE),
    (nn.BatchNorm2d(4, affine=False), IMAGE),
    (nn.ReLU6(), IMAGE),
    (nn.Hardtanh(-2, 0.5), IMAGE),
    (nn.ReLU(), IMAGE),
    (nn.GELU("tanh"), IMAGE),
    (nn.LeakyReLU(0.3), IMAGE),
    (nn.ELU(0.5), IMAGE),
    (nn.Softplus(2, 5), IMAGE),
    (nn.SiLU(), IMAGE),
    (nn.Hardswish(), IMAGE),
    (nn.Hardsigmoid(), IMAGE),
    (nn.Sigmoid(), IMAGE),
    (nn.MaxPool2d(3, 2, 1, ceil_mode=True), IMAGE),
    (nn.MaxPool2d((3, 2)), IMAGE),
    (nn.AvgPool2d(3, 1, (1, 0), count_include_pad=False, divisor_override=5), IMAGE),
    (nn.AvgPool1d(2), (2, 4, 9)),
    (nn.MaxPool1d(2, padding=1), (2, 4, 9)),
    (nn.AdaptiveAvgPool2d((2, 1)), IMAGE),
    (nn.AdaptiveAvgPool1d(3), (2, 4, 9)),
]


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda value: str(value))
def test_every_kind_of_layer(layer: nn.Module, shape: tuple[int, ...]) -> None:
    x = 4 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    captured = _captured(nn.Sequential(nn.Identity(), layer), x)
    assert _kinds(captured)[-1] == type(layer).__name__
    assert torch.equal(captured(x), layer.eval()(x))
    assert captured.state_dict().keys() == {f"1.{name}" for name in layer.state_dict()}


def test_in_place_functions_stay_so() -> None:
    class InPlace(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x * 2
            F.relu_(y)
            return F.hardtanh_(y, 0.0, 6.0) + y

    x = torch.linspace(-2, 4, 8).reshape(2, 4)
    captured = _captured(InPlace(), x)
    assert _kinds(captured) == ["ReLU", "ReLU6"]
    assert torch.equal(captured(x), InPlace()(x))


class Shared(nn.Module):
    """A layer that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.layer(x).relu()).relu()


class ReadElsewhere(nn.Module):
    """A layer whose weight is also a number."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.layer.weight.sum()


class TwoStrides(nn.Module):
    """One weight, called in two ways."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv1d(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, None]
        a = F.conv1d(x, self.layer.weight, self.layer.bias, stride=2)
        return self.layer(x).sum(2) + a.sum(2)


class Computed(nn.Module):
    """A weight that is computed first, as by weight standardisation."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.layer.weight - self.layer.weight.mean(), self.layer.bias)


@pytest.mark.parametrize(
    ("make", "layers"),
    [(Shared, ["Linear", "ReLU", "ReLU"]), (ReadElsewhere, []), (TwoStrides, []), (Computed, [])],
)
def test_weights_that_are_used_otherwise(make: Callable[[], nn.Module], layers: list[str]) -> None:
    model, x = make(), torch.randn(2, 4)
    captured = _captured(model, x)
    assert [kind for kind in _kinds(captured) if kind != "Module"] == layers
    assert dict(captured.named_parameters()).keys() == dict(model.named_parameters()).keys()
    for module in (captured, model):
        module(x).sum().backward()
    torch.testing.assert_close(captured(x), model(x))
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(captured.get_parameter(name).grad, parameter.grad)


def test_names_are_those_of_kinds() -> None:
    captured = _captured(nn.Sequential(nn.ReLU(), nn.Sigmoid(), nn.ReLU()), torch.randn(2, 4))
    assert [name for name, _ in captured.named_children()] == ["relu", "sigmoid", "relu_1"]


def test_embeddings() -> None:
    layer = nn.Embedding(5, 3, padding_idx=2)
    ids = torch.tensor([[0, 2], [4, 2]])
    captured = _captured(nn.Sequential(layer), ids)
    assert _kinds(captured) == ["Embedding"]
    captured(ids).sum().backward()
    weight = captured.get_parameter("0.weight")
    assert weight.grad is not None
    assert not weight.grad[2].any()
