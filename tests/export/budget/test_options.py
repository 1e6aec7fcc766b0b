"""What could be trained of each layer."""

from __future__ import annotations

import export_models as models
import pytest
import torch
from torch import nn

from edgetrain.export.budget.options import FROZEN, Layer, Piece, layers_with_options, rules_of


def layers_of(model: nn.Module, *inputs: int, allowed: set[str] | None = None) -> dict[str, Layer]:
    names = {name for name, _ in model.named_parameters()}
    found = layers_with_options(model, {"inputs": torch.randn(2, *inputs)}, allowed or names)
    return {layer.name: layer for layer in found}


def test_shares_of_whole_channels_and_groups() -> None:
    layers = layers_of(models.Pools(), 3, 16, 16)
    assert list(layers) == ["body.0", "body.1", "body.5", "head"]
    trained = {name: [o.rules[0].train for o in layer.options[1:]] for name, layer in layers.items()}
    assert trained == {
        "body.0": ["bias", 0.125, 0.25, 0.5, "all"],  # 8 channels
        "body.1": ["bias", "all"],  # a normalisation
        "body.5": ["bias", 0.25, 0.5, "all"],  # 4 groups
        "head": ["bias", 0.25, 0.5, "all"],  # 4 outputs
    }
    for layer in layers.values():
        assert layer.options[0] == FROZEN
        assert [option.splits for option in layer.options] == [
            bool(option.rules) and isinstance(option.rules[0].train, float) for option in layer.options
        ]
    half = layers["body.5"].options[3]
    assert half.pieces == (Piece("body.5.bias", 4, 8), Piece("body.5.weight", 4, 8))
    assert half.pieces[0].share == 0.5


def test_what_may_not_be_trained_is_no_option() -> None:
    layers = layers_of(models.Pools(), 3, 16, 16, allowed={"body.1.bias", "head.weight"})
    assert [len(layer.options) for layer in layers.values()] == [1, 2, 1, 4]
    assert {p.parameter for o in layers["head"].options for p in o.pieces} == {"head.weight"}


def test_parameters_of_the_model_itself() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.shift = nn.Parameter(torch.ones(5)), nn.Parameter(torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.scale + self.shift

    whole = layers_of(Scaled(), 5)[""].options[-1]
    assert whole.pieces == (Piece("scale", 5, 5), Piece("shift", 1, 1))
    assert [rule.pattern for rule in rules_of([whole])] == ["scale", "shift"]


@pytest.mark.parametrize("model", [models.Sequences(), models.Attention()])
def test_layers_that_cant_be_split(model: nn.Module) -> None:
    layers = layers_of(model, *models.SHAPES[type(model)])
    inner = layers["rnn"] if "rnn" in layers else layers["layer.self_attn"]
    assert [option.rules[0].train for option in inner.options[1:]] == ["bias", "all"]
