"""Layers and blocks in the order of use, whatever the order of their names is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgetrain.config.model import ModelConfig
from edgetrain.export.updates.order import blocks_in_order, layers_in_order
from edgetrain.models import build_model


class Backwards(nn.Module):
    """Layers that are registered in another order than they are used in, and one that isn't used."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 3)
        self.spare = nn.Linear(2, 2)
        self.body = nn.ModuleDict(
            {"second": nn.Linear(8, 8), "first": nn.Sequential(nn.Linear(4, 8), nn.ReLU())}
        )
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body["second"](self.body["first"](x * self.scale)))


def test_the_order_is_that_of_use() -> None:
    model, inputs = Backwards(), {"inputs": torch.randn(2, 4)}
    assert layers_in_order(model, inputs) == ["", "body.first.0", "body.second", "head"]
    assert blocks_in_order(model, inputs) == ["body.first", "body.second", "head"]


def test_parameters_used_by_others() -> None:
    """Attention multiplies by its output layer's weight itself; recurrent layers have no `weight`."""
    model = nn.Sequential(
        nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, nn.LayerNorm(8)),
        nn.Linear(8, 4),
    )
    inputs = {"inputs": torch.randn(2, 6, 8)}
    assert layers_in_order(model, inputs)[:3] == [
        *("0.layers.0.self_attn", "0.layers.0.self_attn.out_proj", "0.layers.0.norm1"),
    ]
    assert layers_in_order(model, inputs)[-2:] == ["0.norm", "1"]
    assert blocks_in_order(model, inputs) == ["0", "1"]
    assert blocks_in_order(model[0], inputs) == ["layers.0", "layers.1", "norm"]


@pytest.mark.parametrize(
    ("name", "args", "blocks"),
    [
        (
            "torchvision:resnet18",
            {"num_classes": 10},
            ["conv1", "bn1", *(f"layer{i}.{j}" for i in (1, 2, 3, 4) for j in (0, 1)), "fc"],
        ),
        (
            "torchvision:mobilenet_v2",
            {"num_classes": 10},
            [*(f"features.{i}" for i in range(19)), "classifier.1"],
        ),
    ],
)
def test_blocks_of_known_models(name: str, args: dict[str, int], blocks: list[str]) -> None:
    model = build_model(ModelConfig(name=name, args=args))
    assert blocks_in_order(model, {"inputs": torch.randn(1, 3, 32, 32)}) == blocks


def test_a_tied_weight_counts_by_its_first_use() -> None:
    args = {"length": 6, "num_classes": 12, "width": 8, "heads": 2, "layers": 1}
    model = build_model(ModelConfig(name="text_transformer", args=args))
    ids = {"inputs": torch.zeros(2, 6, dtype=torch.int64)}
    layers = layers_in_order(model, ids)
    assert (layers[0], layers[1], layers[-1]) == ("tokens", "", "norm")
    assert blocks_in_order(model, ids) == ["tokens", "blocks.0", "norm"]
