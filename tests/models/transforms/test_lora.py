"""Adapters: nothing changes at first, and what was trained can be added into the weight."""

from __future__ import annotations

import torch
from torch import nn

from edgetrain.artifacts.transforms import Lora
from edgetrain.models.transforms import apply_transforms, merge_transforms, slices_of


def make(seed: int = 0) -> tuple[nn.Sequential, list[Lora]]:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4, bias=False))
    transforms = [Lora(module="0", rank=2, alpha=3.0), Lora(module="2", rank=1, alpha=1.0)]
    apply_transforms(model, transforms, seed)
    return model, transforms


def test_nothing_changes_at_first() -> None:
    torch.manual_seed(3)
    plain = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4, bias=False))
    model, transforms = make()
    x = torch.randn(7, 6)
    assert torch.equal(model(x), plain(x))
    assert list(model.state_dict()) == [
        *("0.weight", "0.bias", "0.lora_a", "0.lora_b"),
        *("2.weight", "2.lora_a", "2.lora_b"),
    ]
    assert model[0].lora_a.shape == (2, 6)
    assert model[0].lora_b.shape == (5, 2)
    # Kaiming's bound with the slope sqrt(5) is 1 / sqrt(inputs).
    assert 0 < model[0].lora_a.abs().max() <= 6**-0.5
    assert not model[0].lora_b.any()
    assert slices_of(transforms, model.state_dict()) == {}


def test_the_seed_decides() -> None:
    same, other = make()[0], make(seed=1)[0]
    assert torch.equal(make()[0][0].lora_a, same[0].lora_a)
    assert not torch.equal(same[0].lora_a, other[0].lora_a)


def test_merging() -> None:
    model, transforms = make()
    for layer in (model[0], model[2]):
        nn.init.normal_(layer.lora_b)
    merged = merge_transforms(transforms, model.state_dict())
    assert list(merged) == ["0.weight", "0.bias", "2.weight"]
    plain = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4, bias=False))
    plain.load_state_dict(merged)
    x = torch.randn(7, 6)
    torch.testing.assert_close(plain(x), model(x))
    assert not torch.equal(merged["0.weight"], model[0].weight)
