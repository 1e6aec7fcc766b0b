"""Channels that were kept, and what doesn't fit the model they were recorded of."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgetrain.artifacts.transforms import KeptChannels, SetAttributes
from edgetrain.errors import InputError
from edgetrain.models.transforms import apply_transforms


def test_parameters_buffers_and_numbers() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    model[0].weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    apply_transforms(
        model,
        [
            KeptChannels(tensor="0.weight", kept={0: (0, 3), 1: (2,)}),
            KeptChannels(tensor="1.running_mean", kept={0: (1, 2)}),
            SetAttributes(module="0", values={"out_channels": 2, "in_channels": 1}),
        ],
    )
    assert torch.equal(model[0].weight, before["0.weight"][[0, 3]][:, [2]])
    assert isinstance(model[0].weight, nn.Parameter)
    assert not model[0].weight.requires_grad
    assert torch.equal(model[1].running_mean, before["1.running_mean"][[1, 2]])
    assert "1.running_mean" in dict(model.named_buffers())
    assert (model[0].out_channels, model[0].in_channels) == (2, 1)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (KeptChannels(tensor="0.weight", kept={0: (0, 9)}), r"0.weight is \[4, 3, 1, 1\], and hasn't the"),
        (KeptChannels(tensor="0.weight", kept={4: (0,)}), "hasn't the channels"),
        (KeptChannels(tensor="0.weight", kept={0: ()}), "hasn't the channels"),
        (KeptChannels(tensor="7.weight", kept={0: (0,)}), "has changed since 'kept_channels' was recorded"),
        (SetAttributes(module="0", values={"width": 2}), "0 has no number called width"),
        (SetAttributes(module="0", values={"forward": 2}), "0 has no number called forward"),
        (SetAttributes(module="0", values={"bias": 2}), "0 has no number called bias"),
        (SetAttributes(module="0", values={"training": 2}), "0 has no number called training"),
    ],
)
def test_what_does_not_fit(record: KeptChannels | SetAttributes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        apply_transforms(nn.Sequential(nn.Conv2d(3, 4, 1)), [record])
