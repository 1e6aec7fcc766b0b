"""Weights under names that only the model's own hooks know."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from edgetrain.convert.fitting import load_weights
from edgetrain.convert.weights import find_weights
from edgetrain.errors import InputError


def new_model() -> nn.Module:
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 3, 3)), nn.Flatten())


def old_state() -> dict[str, torch.Tensor]:
    """As weight norm was before parametrizations: `0.weight_g`, `0.weight_v`."""
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(nn.utils.weight_norm(nn.Conv1d(2, 3, 3))).state_dict()


@pytest.mark.parametrize("prefix", ["", "module."])
def test_old_weight_norm_into_a_new_model(prefix: str) -> None:
    state, model = old_state(), new_model()
    assert "0.weight_g" in state
    payload = {prefix + name: tensor for name, tensor in state.items()}
    assert load_weights(model, find_weights(payload, "old.pth"), "old.pth", "tcn:new") == []
    expected = new_model()
    expected.load_state_dict(state)
    x = torch.randn(2, 2, 8)
    assert torch.equal(model(x), expected(x))


def test_other_names_and_shapes_are_still_refused() -> None:
    state = old_state()
    with pytest.raises(InputError, match=r"missing .*original0"):
        load_weights(new_model(), find_weights({"0.weight": state["0.weight_v"]}, "x"), "x", "m")
    wrong = {**state, "0.weight_v": torch.zeros(5, 2, 3)}
    with pytest.raises(InputError, match="does not fit"):
        load_weights(new_model(), find_weights(wrong, "x"), "x", "m")
