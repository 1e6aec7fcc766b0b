"""Layers that keep their zeros: the same results, gradients of all other weights, parts that keep theirs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgetrain.artifacts.transforms import KeptZeros, SplitOutputs
from edgetrain.errors import InputError
from edgetrain.models.transforms import apply_transforms, merge_transforms
from edgetrain.models.transforms.zeros import is_sparse

LAYERS = {
    "linear": (lambda: nn.Linear(6, 8), (3, 6)),
    "linear of sequences": (lambda: nn.Linear(6, 8, bias=False), (3, 5, 6)),
    "conv1d": (lambda: nn.Conv1d(6, 8, 3, stride=2, padding=1), (3, 6, 9)),
    "reflected": (lambda: nn.Conv2d(6, 8, 3, padding_mode="reflect", padding=1), (3, 6, 9, 9)),
    "grouped": (lambda: nn.Conv2d(6, 8, 3, groups=2), (3, 6, 9, 9)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("split", [False, True])
def test_results_and_gradients(name: str, split: bool) -> None:
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    plain, x = nn.Sequential(make()), torch.randn(shape)
    zero = torch.rand_like(plain[0].weight) < 0.5
    with torch.no_grad():
        plain[0].weight[zero] = 0
    sparse = nn.Sequential(make())
    records = [KeptZeros(module="0", pattern="unstructured")]
    records += [SplitOutputs(module="0", channels=4)] if split else []
    sparse[0].load_state_dict(plain[0].state_dict())
    sparse = apply_transforms(sparse, records)
    parts = [
        module for module in sparse.modules() if isinstance(getattr(module, "weight", None), nn.Parameter)
    ]
    assert len(parts) == (2 if split else 1)
    assert all(is_sparse(part) for part in parts)
    found, expected = sparse(x), plain(x)
    torch.testing.assert_close(found, expected)
    factors = torch.randn(found.shape)
    for output in (found, expected):
        (output * factors).sum().backward()
    gradient = merge_transforms(records, {n: p.grad for n, p in sparse.named_parameters()})["0.weight"]
    torch.testing.assert_close(gradient, plain[0].weight.grad.masked_fill(zero, 0))
    merged = merge_transforms(records, sparse.state_dict())
    assert torch.equal(merged["0.weight"], plain[0].weight)


def test_it_stays_the_same_object() -> None:
    model = nn.Sequential(nn.Linear(3, 2).eval())
    layer, weight = model[0], model[0].weight
    record = KeptZeros(module="0", pattern="2:4")
    for _ in range(2):
        apply_transforms(model, [record])
        assert model[0] is layer
        assert layer.weight is weight
        assert not layer.training
    assert list(model.state_dict()) == ["0.weight", "0.bias"]


def test_other_layers() -> None:
    with pytest.raises(InputError, match="0 is a Bilinear, whose zeros can't be kept"):
        apply_transforms(nn.Sequential(nn.Bilinear(2, 2, 2)), [KeptZeros(module="0", pattern="unstructured")])
