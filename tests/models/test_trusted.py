import pytest
import torch
from torch import nn

from edgetrain.artifacts.checkpoint import Checkpoint
from edgetrain.artifacts.specs import InputSpec, TaskSpec
from edgetrain.config.model import ModelConfig
from edgetrain.errors import InputError
from edgetrain.factories import Trusted
from edgetrain.models.trusted import build_trusted_model, load_trusted_model
from edgetrain.models.xor_mlp import XorMLP

CUSTOM = ModelConfig(name="torch.nn:Linear", args={"in_features": 2, "out_features": 1})


def test_a_factory_is_code_that_the_caller_names() -> None:
    model = build_trusted_model(CUSTOM, Trusted(model="torch.nn:Linear"), source="m.pth")
    assert isinstance(model, nn.Linear)
    for trusted in (Trusted(), Trusted(model="torch.nn:Conv1d"), Trusted(loss="torch.nn:Linear")):
        with pytest.raises(
            InputError, match=r"m\.pth names torch\.nn:Linear .*; if you trust it, confirm with"
        ):
            build_trusted_model(CUSTOM, trusted, source="m.pth")


def test_others_need_no_trust() -> None:
    model = build_trusted_model(ModelConfig(name="xor_mlp"), source="m.pth")
    assert isinstance(model, XorMLP)


@pytest.mark.parametrize("name", ["torchvision:resnet18", "torchvision:lraspp_mobilenet_v3_large"])
def test_files_start_no_download(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by what torchvision calls pretrained weights, nor by what it called them before."""

    def download(*_: object, **__: object) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", download)
    given = {"weights": "DEFAULT", "weights_backbone": "DEFAULT", "pretrained": True}
    config = ModelConfig(name=name, args={"num_classes": 3, **given})
    assert isinstance(build_trusted_model(config, source="m.pth"), nn.Module)


def test_models_that_are_larger_than_their_weights() -> None:
    """A file of a few bytes may name a model of terabytes."""
    checkpoint = Checkpoint(
        model=ModelConfig(name="mlp", args={"hidden": [10**6, 10**6], "in_features": 4, "num_classes": 2}),
        state={"w": torch.ones(3)},
        inputs={"inputs": InputSpec(shape=(4,))},
        task=TaskSpec(name="classification", loss="cross_entropy"),
    )
    with pytest.raises(InputError, match=r"m\.pth does not fit the model mlp: that has 10000\d+ parameters"):
        load_trusted_model(checkpoint, source="m.pth")
