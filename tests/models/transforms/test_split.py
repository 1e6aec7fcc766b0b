"""A layer as two: the same results, gradients by parts, and back again."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgetrain.artifacts.transforms import SplitOutputs
from edgetrain.models.transforms import apply_transforms, channel_unit, merge_transforms, slices_of
from edgetrain.models.transforms.split import SplitLayer

LAYERS = {
    "linear": (lambda: nn.Linear(6, 8), (3, 6)),
    "linear of sequences": (lambda: nn.Linear(6, 8, bias=False), (3, 5, 6)),
    "conv1d": (lambda: nn.Conv1d(6, 8, 3, stride=2, padding=1), (3, 6, 9)),
    "conv2d": (lambda: nn.Conv2d(6, 8, (3, 1), dilation=2, padding_mode="reflect", padding=1), (3, 6, 9, 9)),
    "grouped": (lambda: nn.Conv2d(6, 8, 3, groups=2), (3, 6, 9, 9)),
    "depthwise": (lambda: nn.Conv2d(8, 8, 3, groups=8, bias=False), (3, 8, 9, 9)),
    "unbatched": (lambda: nn.Conv2d(6, 8, 3), (6, 9, 9)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_it_computes_the_same(name: str) -> None:
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    layer, x = make(), torch.randn(shape)
    split = SplitLayer(layer, 4)
    found, expected = split(x), layer(x)
    torch.testing.assert_close(found, expected)
    factors = torch.randn(found.shape)
    (found * factors).sum().backward()
    (expected * factors).sum().backward()
    for part, rows in (("trained", slice(0, 4)), ("frozen", slice(4, 8))):
        for own, parameter in split.get_submodule(part).named_parameters():
            torch.testing.assert_close(parameter.grad, layer.get_parameter(own).grad[rows])
    assert torch.equal(split.weight, layer.weight)
    assert (split.bias is None) == (layer.bias is None)
    assert layer.bias is None or torch.equal(split.bias, layer.bias)


def test_its_mode_and_its_channels() -> None:
    assert not SplitLayer(nn.Linear(2, 3).eval(), 1).trained.training
    assert channel_unit(nn.Linear(2, 3)) == channel_unit(nn.Conv1d(2, 4, 1)) == 1
    assert channel_unit(nn.Conv2d(6, 12, 3, groups=3)) == 4


def test_names_slices_and_merging() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3, bias=False))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    transforms = [SplitOutputs(module="0", channels=2), SplitOutputs(module="2", channels=1)]
    apply_transforms(model, transforms)
    state = model.state_dict()
    assert list(state) == [
        *("0.trained.weight", "0.trained.bias", "0.frozen.weight", "0.frozen.bias"),
        *("2.trained.weight", "2.frozen.weight"),
    ]
    slices = slices_of(transforms, state)
    assert slices.keys() == state.keys()
    for name, part in slices.items():
        rows = before[part.parameter].narrow(part.dim, part.start, part.length)
        assert torch.equal(state[name], rows), name
    merged = merge_transforms(transforms, {**state, "optimizer": torch.zeros(1)})
    assert merged.keys() == {*before, "optimizer"}
    assert all(torch.equal(merged[name], tensor) for name, tensor in before.items())
