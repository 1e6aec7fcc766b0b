"""What surgery as a whole promises: records, reports, notes, comparisons and errors."""

from __future__ import annotations

import copy

import pytest
import torch
from layer_models import Activated, Focus, Functional, SELayer, Untraceable, operated
from torch import Tensor, nn
from torch.nn import functional as F

from edgetrain.errors import CheckFailedError, UsageError
from edgetrain.optimize.layers import PRESETS, RULES, surgery
from edgetrain.optimize.layers.own_rules import chosen_rules
from edgetrain.optimize.layers.rules import rule_of
from edgetrain.optimize.layers.surgery import largest_difference

X = torch.randn(2, 3, 8, 8)


def test_layers_functions_and_methods() -> None:
    torch.manual_seed(0)
    model = Activated()
    result = operated(model, "lite", X)
    assert result.counts() == {
        ("activations", "SiLU", "ReLU"): 1,
        **{
            ("activations", f"torch.nn.functional.{name}()", "ReLU"): 1
            for name in ("hardswish", "gelu", "silu", "leaky_relu", "relu6")
        },
    }
    assert result.model is not model  # the model's own forward was changed
    assert not result.notes
    assert result.difference is None
    code = result.model.code
    assert not any(name in code for name in ("silu", "gelu", "hardswish", "leaky", "relu6"))
    assert "sigmoid" in code
    # In place stays in place, and what wasn't is not.
    in_place = {name: m.inplace for name, m in result.model.named_modules() if isinstance(m, nn.ReLU)}
    assert in_place == {
        "act": True,
        "relu": False,
        "relu_1": False,
        "relu_2": True,
        "relu_3": False,
        "relu_4": False,
    }


def test_dropout_in_a_changed_forward_follows_the_mode() -> None:
    torch.manual_seed(0)
    result = operated(Activated(), "activations", X)
    assert torch.equal(result.model(X), result.model(X))
    result.model.train()
    assert not torch.equal(result.model(X), result.model(X))


def test_it_can_be_trained_and_exported() -> None:
    torch.manual_seed(0)
    model = surgery(Activated(), "lite", inputs=X).model
    model(X).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    program = torch.export.export(model.eval(), (X,), strict=True)
    torch.testing.assert_close(program.module()(X), model(X))


def test_what_fx_cannot_trace_is_looked_at_by_layers() -> None:
    model = nn.Sequential(Untraceable(), Untraceable())
    result = operated(model, "lite", X.abs())
    assert result.counts() == {("activations", "SiLU", "ReLU"): 2}
    (note,) = result.notes
    assert note.startswith("0 and 1 more (Untraceable: torch.fx can't trace its forward (")
    assert "its layers were looked at, but not the calls in its forward" in note


class TwoWays(nn.Module):
    """Treats lists and tensors differently; a trace sees neither."""

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x).mean() if isinstance(x, Tensor) else x


def test_a_trace_that_computes_something_else_is_not_used() -> None:
    result = operated(nn.Sequential(nn.SiLU(), TwoWays()), "lite", X)
    assert result.counts() == {("activations", "SiLU", "ReLU"): 1}
    assert not result.notes  # nothing to replace in the trace


class Wrapped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x) * (2.0 if isinstance(x, Tensor) else 3.0)


def test_a_wrong_trace_is_said() -> None:
    result = operated(nn.Sequential(Wrapped()), "lite", X)
    assert not result.transforms
    assert result.notes == (
        "0 (Wrapped: what torch.fx traced computes something else): its layers were looked at, but not the "
        "calls in its forward",
    )


def test_one_layer_under_several_names() -> None:
    shared = nn.SiLU()
    gate = SELayer(3)
    model = nn.Sequential(nn.Sequential(shared, gate), nn.Sequential(shared, gate))
    model.append(model[0])
    result = operated(model, "lite", X)
    assert not any(isinstance(m, nn.SiLU | SELayer) for m in result.model.modules())
    assert result.model[2] is result.model[0]


def test_a_shared_convolution_stays() -> None:
    shared = nn.Conv2d(3, 3, 6, padding=2)
    result = operated(
        nn.ModuleDict({"a": nn.Sequential(shared), "b": nn.Sequential(shared)})["a"], "kernel-6", X
    )
    assert result.transforms
    both = Pair(shared)
    result = operated(both, "kernel-6", torch.randn(2, 3, 16, 16))
    assert not result.transforms
    assert "used under several names" in result.notes[0]


class Pair(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.a, self.b = layer, layer

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x))


def test_frozen_layers_stay_frozen() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 6, padding=2).requires_grad_(False), nn.Conv2d(3, 3, 6, padding=2))
    surgery(model, "kernel-6")
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True]


def test_without_inputs_nothing_is_compared() -> None:
    result = surgery(nn.Sequential(nn.Dropout(), nn.SiLU()), ["lite", "no-retrain"])
    assert result.difference is None
    assert result.counts() == {
        ("activations", "SiLU", "ReLU"): 1,
        ("dropout", "Dropout", "Identity"): 1,
        ("identities", "Identity", "nothing"): 1,
    }


def test_a_rule_that_should_keep_the_function_and_does_not() -> None:
    wrong = rule_of("wrong", "", lambda place: nn.ReLU() if type(place.layer) is nn.SiLU else None, True)
    with pytest.raises(
        CheckFailedError, match="'wrong' should keep what the model computes, but changes it by"
    ):
        surgery(nn.Sequential(nn.SiLU()), wrong, inputs=X)


def test_the_difference_is_relative() -> None:
    one = torch.tensor([100.0, 0.0])
    assert largest_difference([one], [one + torch.tensor([0.0, 1.0])]) == pytest.approx(0.01)
    assert largest_difference([one], [one[:1]]) == float("inf")


def test_in_place_on_what_a_relu_returned() -> None:
    """Hardswish needs its input for the gradient, ReLU what it returned."""
    model = nn.Sequential(nn.Linear(8, 8), nn.Hardswish(inplace=True), nn.Dropout(0.2, inplace=True))
    result = operated(copy.deepcopy(model), "lite", X)
    result.model.train()(X).sum().backward()
    assert ("in-place-dropout", "Dropout", "Dropout") in result.counts()
    with pytest.raises(CheckFailedError, match="can't be trained after surgery"):
        surgery(nn.Sequential(model[0], Functional(_added_in_place)), "lite", inputs=X)


def _added_in_place(x: Tensor) -> Tensor:
    return F.gelu(x).add_(x)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("light", r"there is no surgery rule 'light'; did you mean 'lite'\?"),
        (["lite", "focuss"], r"did you mean 'focus'\?"),
        ([], "at least one rule"),
        (3, "no surgery rule '3'; known are lite, "),
    ],
)
def test_unknown_rules(rules, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        surgery(nn.Sequential(), rules)


def test_a_model_that_fails_on_the_inputs() -> None:
    with pytest.raises(UsageError, match="the model fails on the inputs for surgery: "):
        surgery(nn.Sequential(nn.Linear(3, 3)), "lite", inputs=X)


def test_the_order_of_rules() -> None:
    own = [{"match": nn.SiLU, "replace": nn.Tanh}, {"match": nn.GELU, "replace": nn.Tanh}]
    names = [rule.name for rule in chosen_rules([own[0], "no-retrain", "focus", own[1], "max-pools"])]
    assert names == [
        *("SiLU → Tanh", "focus", "max-pools", "dropout", "fold-batch-norm", "identities"),
        "GELU → Tanh",
    ]
    # Before a preset one's own rules decide, after it they would find nothing.
    model = surgery(nn.Sequential(nn.SiLU(), nn.GELU()), [own[0], "lite"]).model
    assert [type(m) for m in model] == [nn.Tanh, nn.ReLU]
    with pytest.raises(UsageError, match="matches nothing"):
        surgery(nn.Sequential(nn.SiLU()), ["lite", own[0]])


def test_focus_and_then_its_window() -> None:
    x = torch.randn(2, 3, 16, 16)
    result = operated(nn.Sequential(Focus(3)), ["lite", "focus"], x)
    assert result.model[0].conv.conv.kernel_size == (5, 5)
    assert result.model(x).shape == (2, 5, 8, 8)


def test_presets_name_rules() -> None:
    assert {name for names in PRESETS.values() for name in names} <= set(RULES)
    assert all(RULES[name].keeps_function for name in PRESETS["no-retrain"])
