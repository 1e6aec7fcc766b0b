"""Batch norm as part of the layer before it, and layers left out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgetrain.artifacts.transforms import FoldedNorm, Layer, RemovedLayer, ReplacedLayer
from edgetrain.errors import InputError
from edgetrain.models.transforms import apply_transforms
from edgetrain.models.transforms.layers import LAYERS, build_layer, describe_layer

PAIRS = {
    "conv1d": (lambda: nn.Conv1d(3, 6, 3, bias=False), lambda: nn.BatchNorm1d(6), (4, 3, 9)),
    "conv2d": (lambda: nn.Conv2d(4, 6, 3, groups=2), lambda: nn.BatchNorm2d(6, eps=1e-3), (4, 4, 9, 9)),
    "linear": (lambda: nn.Linear(5, 6), lambda: nn.BatchNorm1d(6, affine=False), (4, 5)),
}


def _moved(norm: nn.Module) -> nn.Module:
    """With statistics and parameters as after training."""
    for name, tensor in norm.state_dict().items():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 2) if name == "running_var" else tensor.normal_()
    return norm


@pytest.mark.parametrize("name", PAIRS)
def test_it_computes_the_same(name: str) -> None:
    torch.manual_seed(0)
    layer, norm, shape = PAIRS[name]
    model = nn.Sequential(layer(), _moved(norm()), nn.ReLU()).eval()
    x = torch.randn(shape)
    expected = model(x)
    model[0].requires_grad_(False)
    apply_transforms(model, [FoldedNorm(convolution="0", norm="1")])
    torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-6)
    assert list(model.state_dict()) == ["0.weight", "0.bias"]
    assert not any(p.requires_grad for p in model.parameters())
    assert type(model[1]) is nn.Identity
    apply_transforms(model, [RemovedLayer(module="1")])
    assert [n for n, _ in model.named_children()] == ["0", "2"]
    torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "norm", [nn.GroupNorm(1, 6), nn.BatchNorm2d(4), nn.BatchNorm2d(6, track_running_stats=False)]
)
def test_no_pair(norm: nn.Module) -> None:
    with pytest.raises(InputError, match=r"1 (is no batch norm|has other channels)"):
        apply_transforms(nn.Sequential(nn.Conv2d(3, 6, 1), norm), [FoldedNorm(convolution="0", norm="1")])


def test_only_what_does_nothing_is_left_out() -> None:
    with pytest.raises(InputError, match="no layer that can be left out"):
        apply_transforms(nn.Sequential(nn.ReLU()), [RemovedLayer(module="0")])


def test_new_parameters_depend_on_the_place_only() -> None:
    by = Layer(type="Linear", args={"in_features": 3, "out_features": 3})
    records = [ReplacedLayer(module=name, by=by) for name in ("0", "1")]
    made = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = apply_transforms(nn.Sequential(nn.ReLU(), nn.ReLU(), nn.Linear(3, 3)), records)
        made.append((model, torch.rand(1)))
    (first, drawn), (second, _) = made
    assert torch.equal(first[0].weight, second[0].weight)
    assert not torch.equal(first[0].weight, first[1].weight)
    torch.manual_seed(0)
    nn.Linear(3, 3)
    assert torch.equal(drawn, torch.rand(1))  # others draw what they would have drawn


EXAMPLES = [
    nn.Conv2d(4, 8, (3, 5), 2, (1, 2), groups=2, bias=False),
    nn.Conv2d(4, 8, 3, padding="same", padding_mode="reflect"),
    nn.Linear(3, 4, bias=False),
    nn.BatchNorm2d(3, eps=1e-3, affine=False),
    nn.LayerNorm((3, 4), bias=False),
    nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    nn.AvgPool2d((2, 3), count_include_pad=False),
    nn.Upsample(scale_factor=(2.0, 3.0), mode="bilinear", align_corners=True),
    nn.GELU("tanh"),
    nn.LeakyReLU(0.2, inplace=True),
    nn.ZeroPad2d((1, 2, 3, 4)),
    nn.Dropout2d(0.3),
    LAYERS["BatchNormLast"](5),  # type: ignore[call-arg]
    nn.Sequential(nn.PReLU(3), nn.Sequential(nn.Identity())),
]


@pytest.mark.parametrize("layer", EXAMPLES, ids=lambda layer: type(layer).__name__)
def test_layers_as_plain_data(layer: nn.Module) -> None:
    described = Layer.model_validate_json(describe_layer(layer).model_dump_json())
    again = build_layer(described)
    assert repr(again) == repr(layer)
    assert {n: t.shape for n, t in again.state_dict().items()} == {
        n: t.shape for n, t in layer.state_dict().items()
    }


def test_batch_norm_of_the_last_dimension() -> None:
    torch.manual_seed(0)
    norm, x = build_layer(Layer(type="BatchNormLast", args={"num_features": 5})), torch.randn(4, 2, 3, 5)
    reference = nn.BatchNorm2d(5)
    torch.testing.assert_close(norm(x), reference(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
    torch.testing.assert_close(norm.running_var, reference.running_var)
    assert norm(x[:, 0, 0]).shape == (4, 5)
