"""Rules of one's own, from Python and YAML."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from layer_models import Activated, Functional, HSwish, operated
from torch import Tensor, nn
from torch.nn import functional as F

from edgetrain.errors import ConfigError, UsageError
from edgetrain.optimize.layers import surgery

X = torch.randn(2, 3, 8, 8)


def _types(model: nn.Module) -> list[str]:
    return [type(m).__name__ for m in model.children()]


def test_a_type_stands_for_its_function_too() -> None:
    result = operated(Activated(), [{"match": nn.SiLU, "replace": nn.Hardtanh, "args": {"max_val": 6}}], X)
    assert result.counts() == {
        ("SiLU → Hardtanh", "SiLU", "Hardtanh"): 1,
        ("SiLU → Hardtanh", "torch.nn.functional.silu()", "Hardtanh"): 1,
    }
    assert all(m.max_val == 6 and m.inplace for m in result.model.modules() if isinstance(m, nn.Hardtanh))


def test_a_function_stands_for_itself() -> None:
    result = operated(Activated(), [{"match": F.silu, "replace": nn.ReLU}], X)
    assert result.counts() == {("silu → ReLU", "torch.nn.functional.silu()", "ReLU"): 1}
    result = operated(Activated(), [{"match": torch.sigmoid, "replace": nn.Hardsigmoid}], X)
    assert result.counts() == {("sigmoid → Hardsigmoid", "torch.Tensor.sigmoid()", "Hardsigmoid"): 1}


def test_functions_that_no_layer_stands_for() -> None:
    model = nn.Sequential(Functional(torch.exp))
    result = operated(model, [{"match": torch.exp, "replace": nn.Softplus}], X)
    assert torch.equal(result.model(X), F.softplus(X))
    with pytest.raises(UsageError, match=r"no layer stands for torch\.cos"):
        surgery(
            nn.Sequential(Functional(torch.cos)), [{"match": torch.cos, "replace": lambda old: nn.ReLU()}]
        )


def test_a_function_of_the_old_layer() -> None:
    def strided(old: nn.Conv2d) -> nn.Module | None:
        if old.kernel_size == (1, 1):
            return None
        new = nn.Conv2d(old.in_channels, old.out_channels, 1)
        new.weight.data.copy_(old.weight[:, :, 1:2, 1:2].detach())
        return nn.Sequential(new, nn.ReLU())

    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1))
    middle = model[0].weight[:, :, 1:2, 1:2].clone()
    result = operated(model, [{"match": nn.Conv2d, "replace": strided}], X)
    assert torch.equal(result.model[0][0].weight, middle)
    assert len(result.transforms) == 1


def test_weights_that_fit_are_kept() -> None:
    model = nn.Sequential(nn.LayerNorm(8))
    nn.init.normal_(model[0].weight)
    weight = model[0].weight.clone()
    rule = {
        "match": nn.LayerNorm,
        "replace": "torch.nn.GroupNorm",
        "args": {"num_groups": 2, "num_channels": 8},
    }
    result = operated(model, [rule], torch.randn(2, 8, 8))
    assert torch.equal(result.model[0].weight, weight)


def test_drawn_weights_are_the_same_each_time() -> None:
    rule = {"match": nn.Conv2d, "replace": lambda old: nn.Conv2d(3, 3, 1)}
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        made.append(surgery(nn.Sequential(nn.Conv2d(3, 3, 3)), [rule]).model[0].weight)
    assert torch.equal(*made)


def test_subclasses_where_the_rule_says_so() -> None:
    class Mine(nn.SiLU):
        pass

    rule = {"match": nn.SiLU, "replace": nn.ReLU}
    with pytest.raises(UsageError, match="'SiLU → Tanh' matches nothing in the model"):
        surgery(nn.Sequential(nn.ReLU()), [{"match": nn.SiLU, "replace": nn.Tanh}])
    model = operated(
        nn.Sequential(Mine(), nn.Mish()), [{**rule, "match": nn.Mish}, {**rule, "subclasses": True}], X
    )
    assert _types(model.model) == ["ReLU", "ReLU"]


def test_ones_own_modules_by_their_type() -> None:
    assert _types(operated(nn.Sequential(HSwish()), [{"match": HSwish, "replace": nn.Tanh}], X).model) == [
        "Tanh"
    ]


MODULE = """
from torch import nn

def cheaper(old, slope=0.5):
    return nn.LeakyReLU(slope)

class Gate(nn.Module):
    pass
"""
RULES = """
rules:
  - match: torch.nn.SiLU
    replace: own_surgery:cheaper
    args: {slope: 0.25}
  - match: [torch.nn.functional.hardswish, torch.nn.GELU]
    replace: torch.nn.ReLU
  - no-retrain
"""


def test_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_surgery.py").write_text(MODULE)
    (tmp_path / "rules.yaml").write_text(RULES)
    monkeypatch.chdir(tmp_path)
    result = operated(Activated(), "rules.yaml", X)
    counts = result.counts()
    assert counts["SiLU → own_surgery:cheaper", "SiLU", "LeakyReLU"] == 1
    assert counts["hardswish or GELU → torch.nn.ReLU", "torch.nn.functional.gelu()", "ReLU"] == 1
    assert result.model.act.negative_slope == 0.25


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: []", "holds no list of rules"),
        ("match: torch.nn.SiLU", "holds no list of rules"),
        ("- lait", "rules.yaml: there is no surgery rule 'lait'"),
        ("- {match: torch.nn.SiLU}", "needs 'replace'"),
        ("- {match: torch.nn.SiLU, replace: torch.nn.ReLU, arg: 1}", r"has no 'arg'; did you mean 'args'\?"),
        (
            "- {match: torch.nn.SilU, replace: torch.nn.ReLU}",
            r"'torch.nn.SilU'; did you mean 'torch.nn.SiLU'\?",
        ),
        ("- {match: torch.nn.SiLU, replace: nowhere.ReLU}", "no layer or function 'nowhere.ReLU'"),
        ("- {match: torch.nn.SiLU, replace: nowhere:relu}", "can't import 'nowhere'"),
        ("- {match: torch.nn.SiLU, replace: torch.nn.LSTM}", "can't keep a LSTM"),
        ("- {match: torch.nn.SiLU, replace: torch.nn.Linear}", "Linear can't be built with {}"),
        ("- {match: torch.nn.SiLU, replace: torch.nn.ReLU, args: 3}", "names and values"),
    ],
)
def test_mistakes_in_a_file(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        surgery(Activated(), file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        surgery(Activated(), tmp_path / "rules.yaml")


class Gate(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize(
    ("replace", "message"),
    [
        (lambda old: Gate(), "a checkpoint can't keep .Gate is no layer"),
        (lambda old: 3, "returned a int"),
        (Gate, "can't keep a Gate"),
        (7, "not 7"),
    ],
)
def test_what_cannot_be_kept(replace, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        surgery(nn.Sequential(nn.SiLU()), [{"match": nn.SiLU, "replace": replace}])
