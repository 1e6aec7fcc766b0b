"""The rules, one by one, against what they should leave equal."""

from __future__ import annotations

import itertools

import pytest
import torch
from layer_models import (
    ConvBnAct,
    Focus,
    Functional,
    HSigmoid,
    HSwish,
    SELayer,
    Skip,
    SqueezeExcite,
    moved,
    operated,
)
from torch import Tensor, nn
from torch.nn import functional as F

from edgetrain.models.transforms.batch_norm_last import BatchNormLast
from edgetrain.optimize.layers import surgery

# --- pools -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [5, 6, 7, 9, 13, (5, 3), (2, 8), (1, 5)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_chains_of_max_pools_are_equal(kernel, stride: int) -> None:
    torch.manual_seed(0)
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    for padding in {0, 1, min(sides) // 2}:
        if padding > min(sides) // 2:
            continue
        for height, width in itertools.product((13, 14), (15, 16)):
            pool = nn.MaxPool2d(kernel, stride, padding)
            x = -1 - torch.rand(2, 3, height, width)  # below zero, so that padding with zeros would show
            result = operated(nn.Sequential(pool), "max-pools", x)
            assert torch.equal(result.model(x), pool(x)), (kernel, stride, padding, height, width)
            windows = [m.kernel_size for m in result.model.modules() if isinstance(m, nn.MaxPool2d)]
            assert all(max(w if isinstance(w, tuple) else (w,)) <= 3 for w in windows)


def test_max_pools_of_signals_and_functions() -> None:
    x = torch.randn(2, 3, 40)
    pool = nn.MaxPool1d(8, 4, 2)
    assert torch.equal(operated(nn.Sequential(pool), "max-pools", x).model(x), pool(x))
    x = torch.randn(2, 3, 20, 20)
    model = nn.Sequential(Functional(_spatial_pyramid))
    expected = model(x)
    result = operated(model, "max-pools", x)
    assert torch.equal(result.model(x), expected)
    assert result.counts() == {("max-pools", "torch.nn.functional.max_pool2d()", "MaxPool2d + MaxPool2d"): 1}
    assert result.difference == 0


def _spatial_pyramid(x: Tensor) -> Tensor:
    return torch.cat([x, F.max_pool2d(x, 5, stride=1, padding=2), F.max_pool2d(x, 3, 1, 1)], 1)


def test_max_pools_that_stay() -> None:
    pools = [
        nn.MaxPool2d(5, ceil_mode=True),
        nn.MaxPool2d(5, dilation=2),
        nn.MaxPool2d(3),
        nn.AdaptiveMaxPool2d(1),
    ]
    model = nn.ModuleList(pools)
    result = surgery(model, "max-pools")
    assert not result.transforms
    assert len(result.notes) == 2


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(5, 1, 2), (6, 2, 0), ((5, 3), 1, (2, 1)), (8, 3, 4)]
)
def test_chains_of_average_pools_have_the_same_size(kernel, stride, padding) -> None:
    x = torch.ones(2, 3, 17, 19)
    pool = nn.AvgPool2d(kernel, stride, padding, count_include_pad=False)
    expected = pool(x)
    result = operated(nn.Sequential(pool), "average-pools", x)
    assert result.model(x).shape == expected.shape
    torch.testing.assert_close(result.model(x), expected)  # averages of ones


def test_average_pools_over_the_whole_map_stay() -> None:
    model = nn.Sequential(nn.AvgPool2d(7), nn.AdaptiveAvgPool2d(1))
    assert not operated(model, "average-pools", torch.randn(2, 3, 7, 7)).transforms
    assert "without inputs" in surgery(model, "average-pools").notes[0]


# --- squeeze-excite, activations ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [SqueezeExcite, SELayer, lambda c: SELayer(c, nn.Hardsigmoid), lambda c: SELayer(c, HSigmoid)]
)
def test_squeeze_excite(make) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), make(4))
    result = operated(model, "squeeze-excite", torch.randn(2, 3, 8, 8))
    assert [type(m) for m in result.model] == [nn.Conv2d, nn.Identity]


class WrittenOut(nn.Module):
    """Activations as sums and products, a gate that is none, and a product of two things."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate = nn.Conv2d(3, 3, 1), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x * F.relu6(x + 3) / 6
        x = self.conv(x) * 2
        x = self.gate(x) * x
        x = x * torch.tanh(F.softplus(x))
        x = 0.5 * x * (1 + torch.erf(x * 0.5**0.5))
        return x * F.relu6(self.conv(x))


def test_activations_written_out() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 8)
    model = WrittenOut()
    result = operated(model, "activations", x)
    assert result.counts() == {
        **{
            ("activations", f"{name} written out", "ReLU"): 1
            for name in ("Hardswish", "SiLU", "Mish", "GELU")
        },
        ("activations", "torch.nn.functional.relu6()", "ReLU"): 1,
    }
    y = F.relu(model.conv(F.relu(model.conv(x))) * 2)
    torch.testing.assert_close(result.model(x), y * F.relu(model.conv(y)))
    assert not any(name in result.model.code for name in ("softplus", "erf", "relu6"))


class Gated(nn.Module):
    """A gate of each place, not of the pooled map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.conv(x))


class Scaled(Gated):
    """A factor of the pooled map that is no gate."""

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv(x.mean((2, 3), keepdim=True))


@pytest.mark.parametrize("make", [Gated, Scaled, HSwish, lambda: ConvBnAct(3, 3, 3)])
def test_what_is_no_squeeze_excite(make) -> None:
    assert not operated(nn.Sequential(make()), "squeeze-excite", torch.randn(2, 3, 8, 8)).transforms


def test_activations_written_as_modules() -> None:
    class Swish(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * torch.sigmoid(x)

    model = nn.Sequential(Swish(), HSwish(), HSigmoid(), nn.Mish(), nn.Tanh(), nn.Sigmoid())
    result = operated(model, "activations", torch.randn(2, 3, 8, 8))
    assert [type(m) for m in result.model] == [nn.ReLU] * 4 + [nn.Tanh, nn.Sigmoid]


# --- resizing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_resizing_by_a_whole_factor(mode: str) -> None:
    x = torch.randn(2, 3, 8, 6)
    layer = nn.Upsample(size=(16, 18), mode=mode)
    expected = layer(x)
    result = operated(nn.Sequential(layer), "resize", x)
    assert result.model[0].size is None
    assert result.model[0].scale_factor == (2.0, 3.0)
    torch.testing.assert_close(result.model(x), expected)


def test_resizing_to_a_size_that_is_computed() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 16, 16)
    model = Skip().eval()
    expected = model(x)
    result = operated(model, "resize", x)
    torch.testing.assert_close(result.model(x), expected)
    assert "shape" not in result.model.code
    assert result.model.upsample.scale_factor == (2.0, 2.0)
    assert result.difference is not None


@pytest.mark.parametrize(("stride", "size"), [(3, 16), (2, 15)])
def test_resizing_by_no_whole_factor_stays(stride: int, size: int) -> None:
    result = operated(Skip(stride), "resize", torch.randn(2, 3, size, size))
    assert not result.transforms
    assert "no whole number" in result.notes[0]


# --- convolutions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 17])
@pytest.mark.parametrize(
    ("arguments", "plain"),
    [
        ({"stride": 2, "padding": 2}, {16}),
        ({"stride": 1, "padding": 2}, set()),
        ({"stride": 3, "padding": 0, "bias": False}, {16}),
        ({"stride": 1, "padding": "same"}, {16, 17}),
        ({"stride": 2, "padding": "valid", "groups": 3}, {16}),
    ],
)
def test_kernel_6(size: int, arguments, plain) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, size, size)
    old = nn.Conv2d(3, 6, 6, **arguments)
    expected = old(x)
    with torch.no_grad():
        old.weight[:, :, -1] = old.weight[:, :, :, -1] = 0  # what is cut off
        without = old(x)
    result = operated(nn.Sequential(old), "kernel-6", x)
    found = result.model(x)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, without, rtol=1e-5, atol=1e-5)
    convolution = next(m for m in result.model.modules() if isinstance(m, nn.Conv2d))
    assert convolution.kernel_size == (5, 5)
    assert (result.model[0] is convolution) == (size in plain)


@pytest.mark.parametrize(("kernel", "padding"), [(11, 2), (9, 4), (8, 3), ((31, 7), (15, 3)), (9, 0)])
def test_large_kernels(kernel, padding) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 40, 40)
    old = nn.Conv2d(3, 3, kernel, 2, padding)
    shape = old(x).shape
    result = operated(nn.Sequential(old), "large-kernels", x)
    assert result.model(x).shape == shape
    convolution = next(m for m in result.model.modules() if isinstance(m, nn.Conv2d))
    assert max(convolution.kernel_size) == 7
    middle = old.weight.shape[2] // 2
    if old.weight.shape[2] % 2:
        assert torch.equal(
            convolution.weight[:, :, 3],
            old.weight[:, :, middle, -7 - (old.weight.shape[3] - 7) // 2 :][..., :7],
        )


@pytest.mark.parametrize("kernel", [1, 3])
def test_focus_is_a_convolution_with_stride_2(kernel: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 16, 20)
    model = moved(nn.Sequential(Focus(kernel))).eval()
    expected = model(x)
    result = operated(model, "focus", x)
    torch.testing.assert_close(result.model(x), expected, rtol=1e-5, atol=1e-6)
    assert "cat" not in result.model[0].code
    assert result.model[0].conv.conv.kernel_size == (2 * kernel, 2 * kernel)
    assert result.difference < 1e-5


# --- norms -------------------------------------------------------------------------------------------------


class Residual(nn.Module):
    """A norm whose input something else sees, one of a convolution that is used twice, and one to fold."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.twice, self.norm2 = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.last, self.norm3 = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        x = self.norm1(y) + y
        x = self.norm2(self.twice(self.twice(x)))
        return self.norm3(self.last(x))


def test_only_norms_whose_input_nothing_else_sees_are_folded() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 8)
    model = moved(nn.Sequential(Residual(), nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))).eval()
    expected = model(x)
    result = operated(model, "no-retrain", x)
    torch.testing.assert_close(result.model(x), expected, rtol=1e-5, atol=1e-6)
    assert [t.norm for t in result.transforms if t.kind == "folded_norm"] == ["0.norm3", "1.1"]
    assert list(result.model[1].state_dict()) == ["0.weight", "0.bias"]
    assert result.difference < 1e-5


class Indexed(nn.Module):
    """Picks layers of a `Sequential` by their place."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Identity(), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.block[2](F.relu(self.block[1](self.block[0](x))))


def test_sequentials_that_are_picked_from_stay_whole() -> None:
    x = torch.randn(2, 3, 8, 8)
    result = operated(moved(nn.Sequential(Indexed(), nn.Identity())), "no-retrain", x)
    assert [t.kind for t in result.transforms] == ["removed_layer"]
    assert len(result.model[0].block) == 3


def test_layer_norm_where_asked() -> None:
    x = torch.randn(4, 6, 5)
    model = nn.Sequential(nn.LayerNorm(5), nn.LayerNorm((6, 5)))
    nn.init.normal_(model[0].weight)
    weight = model[0].weight.clone()
    assert not surgery(model, "lite", inputs=x).transforms
    result = operated(model, "layer-norm", x)
    assert type(result.model[0]) is BatchNormLast
    assert torch.equal(result.model[0].weight, weight)
    assert "more than the channels" in result.notes[0]


# --- what the runtime can train ----------------------------------------------------------------------------


def test_pools_with_gradients() -> None:
    x = torch.randn(2, 3, 12, 12)
    model = nn.Sequential(
        nn.AdaptiveAvgPool2d((12, 12)),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.AdaptiveAvgPool2d((3, 2)),
        nn.AdaptiveMaxPool2d(1),
        nn.AdaptiveAvgPool2d(1),
        nn.AdaptiveAvgPool2d(2),
    )
    expected = model(x)
    result = operated(model, "pool-gradients", x)
    torch.testing.assert_close(result.model(x), expected)
    assert [type(m).__name__ for m in result.model] == [
        *("Identity", "AvgPool2d", "AvgPool2d", "MaxPool2d", "AdaptiveAvgPool2d", "AdaptiveAvgPool2d"),
    ]
    assert result.notes == ("5 (AdaptiveAvgPool2d) stays, since 1x1 is no multiple of 2x2",)


def test_ceil_mode_that_matters_stays() -> None:
    result = operated(nn.Sequential(nn.AvgPool2d(2, ceil_mode=True)), "trainable", torch.randn(2, 3, 7, 7))
    assert not result.transforms
    assert "ceil_mode" in result.notes[0]


def test_other_dropouts() -> None:
    model = nn.Sequential(nn.Dropout2d(0.3), nn.AlphaDropout(0.2), Functional(_dropped))
    result = operated(model, "trainable", torch.randn(2, 3, 8, 8))
    assert [t.by.type for t in result.transforms] == ["Dropout", "Dropout"]
    assert result.model[0].p == 0.3


def _dropped(x: Tensor) -> Tensor:
    return F.dropout2d(x, 0.5, training=False)
