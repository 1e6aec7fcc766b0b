"""What a scheme means for a model, and the sentence where it means nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import export_models as models
import pytest
import torch
from torch import nn

from edgetrain.artifacts.transforms import Lora, SplitOutputs
from edgetrain.config.stages import ExportConfig
from edgetrain.errors import UsageError
from edgetrain.export import export
from edgetrain.export.updates import prepare_update
from edgetrain.factories import Trusted
from edgetrain.reporting import SILENT

EVERYTHING = {name for name, _ in models.Pools().named_parameters()}


def prepare(
    update: str, *trainable: str, kind: Callable[[], nn.Module] = models.Pools
) -> tuple[nn.Module, list[Any], set[str]]:
    """The model, its transforms and the names of its trained parameters."""
    model = kind()
    inputs = {"inputs": torch.randn(2, *models.SHAPES.get(type(model), (5,)))}
    settings = ExportConfig(update=update, trainable=list(trainable) or ["*"])
    transforms = prepare_update(model, inputs, settings, SILENT)
    return model, transforms, {name for name, p in model.named_parameters() if p.requires_grad}


def rules(folder: Path, *rules: dict[str, Any]) -> str:
    """A value of `export.update` with these rules."""
    file = folder / "rules.json"
    file.write_text(json.dumps({"rules": rules}))
    return f"rules:{file}"


@pytest.mark.parametrize(
    ("update", "trained"),
    [
        ("full", EVERYTHING),
        ("head", {"head.weight", "head.bias"}),
        ("last:2", {"body.5.weight", "body.5.bias", "head.weight", "head.bias"}),
        ("last:4", EVERYTHING),
        ("bias", {"body.0.bias", "body.1.bias", "body.5.bias", "head.weight", "head.bias"}),
    ],
)
def test_schemes(update: str, trained: set[str]) -> None:
    _, transforms, found = prepare(update)
    assert (found, transforms) == (trained, [])


def half_frozen() -> nn.Module:
    model = models.Pools()
    model.body[0].requires_grad_(False)
    return model


def test_what_the_model_itself_freezes_stays_so_unless_it_is_named() -> None:
    assert prepare("full", kind=half_frozen)[2] == EVERYTHING - {"body.0.weight", "body.0.bias"}
    assert prepare("full", "body.0.*", kind=half_frozen)[2] == {"body.0.weight", "body.0.bias"}


def test_biases_of_recurrent_layers_and_attention() -> None:
    head = {"head.weight", "head.bias"}
    assert prepare("bias", kind=models.Sequences)[2] == {"rnn.bias_ih_l0", "rnn.bias_hh_l0", *head}
    assert prepare("bias", kind=models.Attention)[2] == {
        *(f"layer.{name}.bias" for name in ("linear1", "linear2", "norm1", "norm2", "self_attn.out_proj")),
        "layer.self_attn.in_proj_bias",
        *head,
    }


def test_trainable_restricts_a_scheme(tmp_path: Path) -> None:
    assert prepare("last:2", "*.bias")[2] == {"body.5.bias", "head.bias"}
    update = rules(tmp_path, {"pattern": "*", "train": 0.5})
    model, transforms, trained = prepare(update, "head.*", "body.0.weight", kind=models.Pools)
    assert [t.module for t in transforms] == ["body.0", "head"]
    assert trained == {"body.0.trained.weight", "head.trained.weight", "head.trained.bias"}
    assert isinstance(model.get_submodule("body.5"), nn.Conv2d)


def test_the_first_rule_that_fits_counts(tmp_path: Path) -> None:
    update = rules(
        tmp_path,
        {"pattern": "body.0.bias", "train": "none"},
        {"pattern": "body.0", "train": 0.25},
        {"pattern": "head.bias", "train": "all"},
        {"pattern": "head", "train": {"lora": {"rank": 2, "alpha": 4}}},
        {"pattern": "body.1", "train": "bias"},
        {"pattern": "body.*", "train": "none"},
    )
    _, transforms, trained = prepare(update)
    assert transforms == [SplitOutputs(module="body.0", channels=2), Lora(module="head", rank=2, alpha=4)]
    assert trained == {
        *("body.0.trained.weight", "body.1.bias", "head.lora_a", "head.lora_b", "head.bias"),
    }


@pytest.mark.parametrize(
    ("bias", "trained"),
    [("none", set()), ("all", {"trained.bias", "frozen.bias"}), (0.5, {"trained.bias"})],
)
def test_biases_of_a_split_layer(tmp_path: Path, bias: Any, trained: set[str]) -> None:
    update = rules(tmp_path, {"pattern": "head.bias", "train": bias}, {"pattern": "head", "train": 0.5})
    assert prepare(update)[2] == {"head.trained.weight", *(f"head.{name}" for name in trained)}


def test_groups_stay_whole(tmp_path: Path) -> None:
    """body.5 has 8 channels in 4 groups."""
    _, transforms, _ = prepare(rules(tmp_path, {"pattern": "body.5", "train": 0.3}))
    assert transforms == [SplitOutputs(module="body.5", channels=2)]


def test_last_blocks(tmp_path: Path) -> None:
    update = rules(tmp_path, {"last_blocks": 2, "train": "bias"}, {"last_layers": 1, "train": "all"})
    assert prepare(update)[2] == {"body.5.bias", "head.bias"}


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (
            {"pattern": "bodi.0", "train": "all"},
            r"the pattern 'bodi\.0' matches no layer or parameter .*'body\.0'",
        ),
        (
            {"pattern": "body.0", "train": 0.01},
            r"0\.01 of the 8 output channels of body\.0 are none; take at least",
        ),
        ({"pattern": "body.5", "train": 0.1}, r"of the 4 groups of 2 output channels of body\.5 are none"),
        ({"pattern": "body.0", "train": 0.99}, r"0\.99 of the 8 output channels of body\.0 are all; say all"),
        (
            {"pattern": "body.1", "train": 0.5},
            r"of body\.1 can't be trained: .* Conv2d, and it is GroupNorm; give",
        ),
        (
            {"pattern": "*.bias", "train": 0.5},
            r"body\.0\.bias is no weight of a layer, and can't be trained in part",
        ),
        (
            {"pattern": "body.0", "train": {"lora": {}}},
            r"a LoRA adapter of body\.0 .* for Linear, and it is Conv2d",
        ),
        ({"last_layers": 99, "train": "all"}, "the model has 4 layers with parameters, not 99"),
        ({"last_blocks": 99, "train": "all"}, "the model has 4 blocks with parameters, not 99"),
        ({"pattern": "*", "train": "none"}, "trains nothing; choose more"),
    ],
)
def test_rules_that_can_not_be_followed(tmp_path: Path, rule: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=rf"rules\.json.* {problem}"):
        prepare(rules(tmp_path, rule))


def test_layers_that_share_their_weight(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Linear(5, 5), nn.Linear(5, 5)
            self.other.weight = self.one.weight

    for train in (0.5, {"lora": {}}):
        with pytest.raises(
            UsageError, match=r"since it shares some \(one\.weight, one\.bias, other\.weight\)"
        ):
            prepare(rules(tmp_path, {"pattern": "one", "train": train}), kind=Tied)


def test_weights_made_of_others(tmp_path: Path) -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.utils.weight_norm(nn.Linear(5, 5))

    with pytest.raises(UsageError, match=r"layer\.bias is no weight of a layer"):
        prepare(rules(tmp_path, {"pattern": "layer", "train": 0.5}), kind=Normed)


def test_a_model_that_is_a_layer(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="of a model that is a single layer can't be trained"):
        prepare(rules(tmp_path, {"pattern": "*", "train": 0.5}), kind=lambda: nn.Linear(5, 4))


def test_more_layers_than_there_are() -> None:
    with pytest.raises(UsageError, match="--update last:99: the model has 4 layers with parameters, not 99"):
        prepare("last:99")


def test_nothing_is_left_to_train() -> None:
    with pytest.raises(
        UsageError, match="--update head trains nothing of what --trainable names; choose more"
    ):
        prepare("head", "body.*")


@pytest.mark.parametrize("update", ["last:99", "rules:missing.yaml"])
def test_nothing_is_written(tmp_path: Path, update: str) -> None:
    checkpoint = models.write_checkpoint(tmp_path / "model.pth", models.Pools)
    config = models.ExportCommand.model_validate({"export": {"update": update}})
    with pytest.raises(UsageError) as caught:
        export(config, checkpoint, tmp_path / "out", trusted=Trusted(models.factory_name(models.Pools)))
    assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == [checkpoint]
