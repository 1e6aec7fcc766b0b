"""Channel pruning: the model without the channels is the model in which they are silent."""

from __future__ import annotations

import copy

import export_models as models
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edgetrain.artifacts.transforms import KeptChannels, SetAttributes
from edgetrain.config.model import ModelConfig
from edgetrain.errors import UsageError
from edgetrain.models import build_model
from edgetrain.models.transforms import apply_transforms
from edgetrain.optimize.pruning import PruneResult, prune
from edgetrain.optimize.pruning.channels import removed_rows

THOROUGH = (pytest.mark.slow, pytest.mark.thorough)


class Residual(nn.Module):
    """Summands, a concatenation, groups of channels, a depthwise convolution, a transposed one;
    [B, 3, 8, 8] → [B, 4] and a map [B, 2, 8, 8]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, padding=1)
        self.block = nn.Sequential(
            nn.Conv2d(12, 16, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.PReLU(16), nn.Conv2d(16, 12, 1),
        )  # fmt: skip
        self.grouped = nn.Sequential(nn.Conv2d(12, 8, 3, padding=1, groups=4), nn.ReLU())
        self.up = nn.ConvTranspose2d(20, 6, 1)
        self.map = nn.Conv2d(6, 2, 1)
        self.head = nn.Linear(6 * 16, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        x = torch.relu(x + self.block(x))
        x = torch.relu(self.up(torch.cat([x, self.grouped(x)], 1)))
        return self.head(nn.functional.max_pool2d(x, 2).flatten(1)), self.map(x)


class Wired(nn.Module):
    """Knows how many channels it has; [B, 3, 4, 4] → [B, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(128, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.conv(x)).reshape(-1, 128))


def torchvision(name: str) -> nn.Module:
    arguments = {"aux_logits": False} if name == "googlenet" else {}
    return build_model(ModelConfig(name=f"torchvision:{name}", args={"num_classes": 10, **arguments}))


TORCHVISION = [
    *("mobilenet_v3_small", "resnet18", "mobilenet_v2", "efficientnet_b0", "densenet121", "regnet_y_400mf"),
    *("googlenet", "squeezenet1_1", "mnasnet0_5"),
]
CASES = {
    "residual": (Residual, (3, 8, 8)),
    "signals": (models.Signals, models.SHAPES[models.Signals]),
    "attention": (models.Attention, models.SHAPES[models.Attention]),
    "called twice": (models.Trained, models.SHAPES[models.Trained]),
    **{name: (lambda name=name: torchvision(name), (3, 64, 64)) for name in TORCHVISION},
}
QUICK = ("residual", "signals", "attention", "called twice", "mobilenet_v3_small")


def make(name: str) -> tuple[nn.Module, Tensor]:
    """A model with statistics of its own, in evaluation mode, and inputs."""
    torch.manual_seed(0)
    factory, shape = CASES[name]
    model = factory().eval()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return model, torch.randn(2, *shape)


def outputs(model: nn.Module, x: Tensor) -> list[Tensor]:
    with torch.no_grad():
        found = model(x)
    return list(found) if isinstance(found, tuple) else [found]


def silenced(model: nn.Module, result: PruneResult) -> nn.Module:
    """The model with all its channels, of which those that were cut are zero."""
    with torch.no_grad():
        for name, (dim, indices) in removed_rows(model, result.transforms).items():
            model.get_parameter(name).index_fill_(dim, torch.tensor(indices), 0.0)
    return model


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else THOROUGH) for name in CASES]
)
def test_it_is_the_model_in_which_the_channels_are_silent(name: str, scope: str) -> None:
    model, x = make(name)
    whole = copy.deepcopy(model)
    result = prune(model, 0.4, inputs={"x": x}, scope=scope)
    assert result.model is model
    for found, expected in zip(outputs(model, x), outputs(silenced(whole, result), x), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    assert any(layer.after[0] < layer.before[0] for layer in result.report)


@pytest.mark.parametrize("name", ["residual", "mobilenet_v3_small"])
def test_records_rebuild_it(name: str) -> None:
    model, x = make(name)
    result = prune(model, 0.3, inputs={"x": x})
    rebuilt = apply_transforms(CASES[name][0](), result.transforms).eval()
    rebuilt.load_state_dict(model.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(outputs(rebuilt, x), outputs(model, x), strict=True))
    for (path, found), (_, expected) in zip(rebuilt.named_modules(), model.named_modules(), strict=True):
        assert repr(found) == repr(expected), path


def test_the_records_of_a_network() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
    with torch.no_grad():
        model[0].weight[1] = 0.0  # the least of these in every respect
        model[1].weight[1] = 0.0
    result = prune(model, 0.25, inputs={"x": torch.randn(2, 3, 2, 2)})
    kept = {t.tensor: t.kept for t in result.transforms if isinstance(t, KeptChannels)}
    channels = {0: (0, 2, 3)}
    assert kept == {
        **dict.fromkeys(("0.weight", "0.bias", "1.weight", "1.bias"), channels),
        **dict.fromkeys(("1.running_mean", "1.running_var"), channels),
        "4.weight": {1: (0, 1, 2, 3, *range(8, 16))},
    }
    values = {t.module: t.values for t in result.transforms if isinstance(t, SetAttributes)}
    assert values == {"0": {"out_channels": 3}, "1": {"num_features": 3}, "4": {"in_features": 12}}
    assert [(layer.layer, layer.before, layer.after) for layer in result.report] == [
        ("0", (4, 3, 1, 1), (3, 3, 1, 1)),
        ("4", (2, 16), (2, 12)),
    ]
    assert result.left == {"4": "its channels are the model's outputs"}


def macs(model: nn.Module, x: Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        outputs(model, x)
    return counter.get_total_flops() // 2


def test_what_a_ratio_takes_off() -> None:
    model = build_model(ModelConfig(name="cifar_cnn", args={"num_classes": 10, "image_size": 32}))
    x = torch.randn(2, 3, 32, 32)
    before = macs(model, x)
    prune(model, 0.3, inputs={"x": x})
    assert [m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)] == [22, 45, 90]
    assert macs(model, x) < 0.55 * before


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_channels_in_multiples(scope: str) -> None:
    model, x = make("resnet18")
    prune(model, 0.3, inputs={"x": x}, round_to=8, scope=scope)
    counts = {module.out_channels for module in model.modules() if isinstance(module, nn.Conv2d)}
    assert all(count % 8 == 0 for count in counts)
    assert min(counts) < 64


def test_global_ranking_takes_the_least_of_all() -> None:
    """Two channels of the second layer do next to nothing, so they go; no layer is left with nothing."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    with torch.no_grad():
        model[2].weight[[1, 5]] *= 1e-3
        model[4].weight[:, [1, 5]] *= 1e-3
    x = torch.randn(2, 4)
    result = prune(copy.deepcopy(model), 2 / 16, inputs={"x": x}, scope="global")
    assert removed_rows(model, result.transforms) == {"2.weight": (0, [1, 5]), "2.bias": (0, [1, 5])}
    result = prune(copy.deepcopy(model), 0.99, inputs={"x": x}, scope="global")
    assert [layer.after for layer in result.report] == [(1, 4), (1, 1), (3, 1)]


def test_groups_stay_equal() -> None:
    """A norm of 2 groups before a convolution of 4: from each of the 4, as many channels go."""
    torch.manual_seed(0)
    model, x = models.Pools(), torch.randn(2, 3, 16, 16)
    result = prune(model, 0.5, inputs={"x": x})
    assert model(x).shape == (2, 4)
    assert (model.body[1].num_channels, model.body[1].num_groups) == (4, 2)
    assert (model.body[5].in_channels, model.body[5].groups) == (4, 4)
    (kept,) = [t.kept for t in result.transforms if getattr(t, "tensor", "") == "body.0.weight"]
    assert [index // 2 for index in kept[0]] == [0, 1, 2, 3]


def test_skipped_layers_keep_their_channels() -> None:
    model, x = make("residual")
    result = prune(model, 0.5, inputs={"x": x}, skip=["block.0", "stem"])
    assert (model.stem.out_channels, model.block[0].out_channels) == (12, 16)
    assert model.up.out_channels == 3
    assert result.left["block.0"] == result.left["stem"] == "skipped"


def test_what_is_coupled_to_skipped_layers_says_so() -> None:
    model, x = make("residual")
    result = prune(model, 0.5, inputs={"x": x}, skip=["block.5"])
    assert result.left["stem"] == "its channels are those of block.5"
    assert model.stem.out_channels == 12


def test_least_important_by_taylor() -> None:
    """One channel of large weights feeds nothing that the loss depends on."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    with torch.no_grad():
        model[0].weight[2] *= 100
        model[2].weight[:, 2] = 0
    x = torch.randn(16, 4)
    result = prune(
        copy.deepcopy(model),
        1 / 6,
        importance="taylor",
        inputs={"x": x},
        losses=[lambda m: m(x).square().mean()],
    )
    assert removed_rows(model, result.transforms)["0.weight"] == (0, [2])
    result = prune(copy.deepcopy(model), 1 / 6, inputs={"x": x})
    assert removed_rows(model, result.transforms)["0.weight"][1] != [2]


def test_models_that_count_on_their_channels() -> None:
    with pytest.raises(
        UsageError, match=r"fails without some channels of conv: .*skip the layers whose lengths"
    ):
        prune(Wired(), 0.5, inputs={"x": torch.randn(2, 3, 4, 4)})


def test_models_that_cannot_be_followed() -> None:
    model = torchvision("shufflenet_v2_x0_5")
    sizes = [tuple(p.shape) for p in model.parameters()]
    with pytest.raises(
        UsageError, match=r"can't follow this model's channels behind stage\S+ .*unstructured"
    ):
        prune(model, 0.5, inputs={"x": torch.randn(2, 3, 64, 64)})
    assert [tuple(p.shape) for p in model.parameters()] == sizes


def test_nothing_to_prune() -> None:
    with pytest.raises(UsageError, match=r"no channels to prune \(0: its channels are the model's outputs"):
        prune(nn.Sequential(nn.Linear(4, 3)), 0.5, inputs={"x": torch.randn(2, 4)})
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    with pytest.raises(
        UsageError, match=r"no layer has so many channels that it loses one of them at a ratio"
    ):
        prune(model, 0.1, inputs={"x": torch.randn(2, 4)})


def test_it_leaves_modes_and_gradients_as_they_were() -> None:
    model, x = make("residual")
    model.block.train()
    model.stem.weight.requires_grad_(False)
    prune(model, 0.5, inputs={"x": x})
    assert not model.training
    assert model.block.training
    assert not model.stem.weight.requires_grad
    assert model.stem.bias.requires_grad
