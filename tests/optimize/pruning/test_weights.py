"""Single weights: as many zeros as asked for, where they matter least."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgetrain.artifacts.transforms import KeptZeros
from edgetrain.errors import UsageError
from edgetrain.models.transforms import apply_transforms
from edgetrain.models.transforms.zeros import SparseConv2d, SparseLinear, is_sparse
from edgetrain.optimize.pruning import prune
from edgetrain.optimize.pruning.weights import Sparsity, masks_of


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 16, 20),
        nn.Linear(20, 4),
    )


LAYERS = ("0", "4", "5")


def zeros(model: nn.Module, layer: str) -> int:
    return int((model.get_parameter(f"{layer}.weight") == 0).sum())


def test_the_least_of_all_layers() -> None:
    model = net()
    whole = {layer: model.get_parameter(f"{layer}.weight").detach().clone() for layer in LAYERS}
    result = prune(model, 0.6, kind="unstructured")
    size = sum(weight.numel() for weight in whole.values())
    assert sum(zeros(model, layer) for layer in LAYERS) == round(0.6 * size)
    gone, left = [], []
    for layer, before in whole.items():
        after = model.get_parameter(f"{layer}.weight")
        gone.append(before[after == 0].abs())
        left.append(before[after != 0].abs())
        assert torch.equal(after[after != 0], before[after != 0])
    assert torch.cat(gone).max() <= torch.cat(left).min()
    assert [(r.layer, r.pattern, round(r.zeros * whole[r.layer].numel())) for r in result.report] == [
        (layer, "unstructured", zeros(model, layer)) for layer in LAYERS
    ]
    assert result.transforms == tuple(KeptZeros(module=n, pattern="unstructured") for n in LAYERS)
    assert (result.hook, result.afterwards) == (None, ())
    assert not (model[1].weight == 0).any()
    assert not (model[0].bias == 0).any()


def test_the_least_of_each_layer() -> None:
    model = net()
    prune(model, 0.6, kind="unstructured", scope="layer")
    for layer in LAYERS:
        assert zeros(model, layer) == round(0.6 * model.get_parameter(f"{layer}.weight").numel())


@pytest.mark.parametrize(("pattern", "n", "m"), [("2:4", 2, 4), ("1:3", 1, 3), ("5:16", 5, 16)])
def test_of_every_group_of_a_row(pattern: str, n: int, m: int) -> None:
    model = net()
    whole = model[0].weight.detach().clone()
    prune(model, kind=pattern)
    for layer in LAYERS:
        rows = model.get_parameter(f"{layer}.weight").flatten(1)
        length = rows.shape[1]
        for start in range(0, length - m + 1, m):
            assert ((rows[:, start : start + m] == 0).sum(1) == n).all(), (layer, start)
        rest = length % m
        if rest:
            assert ((rows[:, -rest:] == 0).sum(1) == rest * n // m).all(), layer
    groups = whole.flatten(1)[:, :m], model[0].weight.flatten(1)[:, :m]
    gone = groups[0].abs().masked_fill(groups[1] != 0, 0).amax(1)
    kept = groups[0].abs().masked_fill(groups[1] == 0, torch.inf).amin(1)
    assert (gone <= kept).all()


def test_rows_that_are_too_short() -> None:
    model = net()
    result = prune(model, kind="41:64")
    assert zeros(model, "4") == 20 * 2 * 41
    assert zeros(model, "0") == zeros(model, "5") == 0
    assert result.left == {
        "0": "its rows have 27 weights, fewer than a group of 41:64",
        "5": "its rows have 20 weights, fewer than a group of 41:64",
    }
    assert [t.module for t in result.transforms] == ["4"]


def test_skipped_and_other_layers() -> None:
    model = nn.Sequential(net(), nn.Unflatten(1, (4, 1)), nn.LSTM(1, 2))
    result = prune(model, 0.5, kind="unstructured", skip=["0.0", "0.5.*"])
    assert result.left == {"0.0": "skipped", "0.5": "skipped"}
    assert [t.module for t in result.transforms] == ["0.4"]


def test_a_weight_of_two_layers_stays_whole() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    result = prune(model, 0.5, kind="unstructured")
    shared = "its weight is shared (0.weight, 2.weight)"
    assert result.left == {"0": shared, "2": shared}


def test_by_taylor() -> None:
    """Large weights that the loss doesn't depend on go first."""
    model = nn.Sequential(nn.Linear(4, 4, bias=False))
    with torch.no_grad():
        model[0].weight.fill_(1.0)[:, 1] = 50.0
    x = torch.ones(3, 4)
    x[:, 1] = 0
    prune(model, 0.25, kind="unstructured", importance="taylor", losses=[lambda m: m(x).sum()])
    assert (model[0].weight == 0).sum(0).tolist() == [0, 4, 0, 0]
    assert model[0].weight.grad is None


def test_records_rebuild_it_and_zeros_stay() -> None:
    model = net()
    result = prune(model, kind="2:4")
    rebuilt = apply_transforms(net(), result.transforms)
    rebuilt.load_state_dict(model.state_dict())
    assert [type(rebuilt[i]) for i in (0, 4, 5)] == [SparseConv2d, SparseLinear, SparseLinear]
    optimizer = torch.optim.Adam(rebuilt.parameters(), lr=0.01, weight_decay=0.1)
    before = {layer: zeros(rebuilt, layer) for layer in LAYERS}
    x = torch.randn(5, 3, 6, 6)
    for _ in range(5):
        optimizer.zero_grad()
        rebuilt(x).square().sum().backward()
        optimizer.step()
    assert {layer: zeros(rebuilt, layer) for layer in LAYERS} == before
    assert not torch.equal(rebuilt[4].weight, model[4].weight)


def test_equal_weights_are_pruned_by_count() -> None:
    scores = {"a": torch.ones(4, 8)}
    assert masks_of(scores, Sparsity(0.25))["a"].sum() == 8
    assert (masks_of(scores, Sparsity(0.5, "2:4", "layer"))["a"].reshape(-1, 4).sum(1) == 2).all()


def test_what_was_pruned_is_not_pruned_again() -> None:
    model = net()
    prune(model, 0.5, kind="unstructured", skip=["0"])
    with pytest.raises(UsageError, match="4 was pruned already; prune the model as it was before"):
        prune(model, 0.8, kind="unstructured")
    with pytest.raises(UsageError, match="4 was pruned already; prune channels first"):
        prune(model, 0.5, inputs={"x": torch.randn(2, 3, 6, 6)})
    prune(model, kind="2:4", skip=["4", "5"])
    assert is_sparse(model[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ratio": 1.0, "kind": "unstructured"}, "ratio of weights to prune is 1.0; it lies between 0 and 1"),
        ({"ratio": 0.0}, "ratio of weights to prune is 0.0"),
        ({"kind": "unstructured"}, "ratio of weights to prune is None"),
        ({"kind": "4:4"}, "'4:4' is no N:M"),
        ({"kind": "5:4"}, "'5:4' is no N:M"),
        ({"kind": "0:4"}, "'0:4' is no N:M"),
        ({"kind": "filters"}, "'filters' is no N:M"),
        ({"kind": "2:4", "ratio": 0.5}, "2:4 says how much is pruned"),
        ({"kind": "2:4", "scope": "layer"}, "2:4 says how much is pruned"),
        ({"kind": "2:4", "skip": ["conv*"]}, "'conv.' matches no layer or parameter"),
        ({"kind": "2:4", "skip": ["*"]}, "no weights to prune .0, 4, 5: skipped"),
        ({"kind": "2:4", "importance": "taylor"}, "importance 'taylor' is measured on data"),
        ({"kind": "2:4", "importance": "best"}, "no importance 'best'; take 'magnitude' or 'l1' or 'taylor'"),
        ({"kind": "2:4", "schedule": "slow"}, "no schedule 'slow'; take 'once' or 'gradual' or 'blend'"),
        ({"kind": "2:4", "schedule": "blend", "importance": "taylor"}, "chosen by their magnitudes"),
        ({"kind": "2:4", "schedule": "gradual", "over": 0.0}, "share of the steps"),
        ({"kind": "2:4", "round_to": 8}, "rounded to a multiple"),
        ({"ratio": 0.5, "schedule": "gradual"}, "channels are cut all together"),
        ({"ratio": 0.5}, "give its inputs"),
        ({"ratio": 0.5, "round_to": 0}, "rounded to a multiple of 1 and more, not 0"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, object], message: str) -> None:
    model = net()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UsageError, match=message):
        prune(model, **settings)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(is_sparse(module) for module in model.modules())


def test_nothing_to_prune() -> None:
    with pytest.raises(UsageError, match="no weights to prune"):
        prune(nn.Sequential(nn.BatchNorm1d(3)), kind="2:4")
