"""Gradients of batch and instance norms, whatever the layout of what they are given."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgetrain.engine.sound_norms import SoundNorms


def in_order(x: Tensor) -> Tensor:
    return x.contiguous()


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def tokens(x: Tensor) -> Tensor:
    """As what was computed for tokens and is an image again."""
    return x.flatten(2).transpose(1, 2).contiguous().transpose(1, 2).reshape(x.shape)


LAYOUTS = {"in order": in_order, "channels last": channels_last, "tokens": tokens}


@pytest.mark.parametrize("of_gradient", LAYOUTS)
@pytest.mark.parametrize("of_input", LAYOUTS)
@pytest.mark.parametrize("batch", [1, 2])
def test_norms(batch: int, of_input: str, of_gradient: str) -> None:
    torch.manual_seed(0)
    layers = [nn.BatchNorm2d(3).eval(), nn.BatchNorm2d(3), nn.InstanceNorm2d(3, affine=True)]
    for layer in [layer.double() for layer in layers]:
        x, gradient = (torch.randn(batch, 3, 4, 5, dtype=torch.float64) for _ in range(2))
        given = LAYOUTS[of_input](x).requires_grad_()
        with SoundNorms():
            y = layer(given)
        found = torch.autograd.grad(y, [given, *layer.parameters()], LAYOUTS[of_gradient](gradient))
        # What it is, from operators that don't look at layouts.
        x.requires_grad_()
        if layer.training or isinstance(layer, nn.InstanceNorm2d):
            dims = (2, 3) if isinstance(layer, nn.InstanceNorm2d) else (0, 2, 3)
            mean, var = x.mean(dims, keepdim=True), x.var(dims, keepdim=True, correction=0)
        else:
            mean, var = (t.reshape(1, 3, 1, 1) for t in (layer.running_mean, layer.running_var))
        weight, bias = (p.reshape(1, 3, 1, 1) for p in layer.parameters())
        wanted = (x - mean) / (var + layer.eps).sqrt() * weight + bias
        torch.testing.assert_close(y, wanted)
        expected = torch.autograd.grad(wanted, [x, *layer.parameters()], gradient)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs)


def test_other_functions_are_as_they_were() -> None:
    with SoundNorms():
        assert torch.equal(torch.relu(torch.tensor([-1.0, 2.0])), torch.tensor([0.0, 2.0]))
