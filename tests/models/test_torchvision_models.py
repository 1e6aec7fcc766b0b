import urllib.error
from typing import Any

import pytest
import torch
from torch import nn

from edgetrain.artifacts.specs import InputSpec
from edgetrain.config.model import ModelConfig
from edgetrain.errors import InputError, UsageError
from edgetrain.models import build_model, resolve_model, torchvision_models


def resolve(name: str, shape: tuple[int, ...] = (3, 32, 32), **args: object) -> ModelConfig:
    config = ModelConfig(name=f"torchvision:{name}", args=args)
    return resolve_model(config, {"x": InputSpec(shape=shape)}, 7)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "squeezenet1_1"])
def test_builds_for_the_data(name: str) -> None:
    config = resolve(name)
    assert config.args == {"num_classes": 7}
    model = build_model(config).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 7)


def test_vision_transformer_gets_the_image_size() -> None:
    assert resolve("vit_b_16").args == {"num_classes": 7, "image_size": 32}


def test_auxiliary_outputs_are_off() -> None:
    assert resolve("googlenet").args["aux_logits"] is False


@pytest.mark.parametrize(
    ("name", "shape", "args", "message"),
    [
        ("resnet81", (3, 32, 32), {}, "or segmentation model 'resnet81'; did you mean 'resnet18'?"),
        ("fasterrcnn_resnet50_fpn", (3, 32, 32), {}, "no classification or segmentation model"),
        ("fcn_resnet50", (1, 32, 32), {}, "takes images with 3 channels"),
        ("resnet18", (1, 8, 8), {}, "takes images with 3 channels.*--channels 3"),
        ("resnet18", (64,), {}, "takes images with 3 channels"),
        ("resnet18", (32, 32, 3), {}, r"channels last: save array\.transpose\(0, 3, 1, 2\)"),
        ("resnet18", (3, 32, 32), {"num_classes": 5}, "is 5, but the data needs 7"),
    ],
)
def test_misfit_is_one_sentence(
    name: str, shape: tuple[int, ...], args: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        resolve(name, shape, **args)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"dropuot": 0.1}, "torchvision:mobilenet_v2 has no argument 'dropuot'; did you mean 'dropout'"),
        ({"weights": "mine.pth"}, "can only be null or DEFAULT"),
    ],
)
def test_wrong_arguments(args: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_model(resolve("mobilenet_v2", **args))


class Namespace:
    """torchvision.models without a network."""

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome
        self.asked: dict[str, Any] = {}

        self.segmentation = object()

    def list_models(self, module: Any) -> list[str]:
        return ["tiny-segmentation" if module is self.segmentation else "tiny"]

    def get_model(self, name: str, **keywords: Any) -> nn.Module:
        self.asked = keywords
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.mark.parametrize(
    "error", [urllib.error.URLError("no route"), RuntimeError('invalid hash value (expected "x")')]
)
def test_failing_download(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_models, "_models", lambda: Namespace(error))
    with pytest.raises(InputError, match="pretrained weights of torchvision:tiny"):
        build_model(resolve("tiny", weights="DEFAULT"))


@pytest.mark.parametrize("name", ["lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large"])
def test_segmentation_models_train_from_scratch(name: str) -> None:
    """Without a download, of the backbone's weights neither, and without auxiliary outputs."""
    config = resolve(name)
    assert config.args == {"num_classes": 7}
    model = build_model(config).eval()
    with torch.no_grad():
        returned = model(torch.zeros(1, 3, 32, 32))
    assert {key: tuple(value.shape) for key, value in returned.items()} == {"out": (1, 7, 32, 32)}


def test_segmentation_arguments_are_checked() -> None:
    with pytest.raises(UsageError, match="no argument 'num_clases'; did you mean 'num_classes'"):
        build_model(resolve("fcn_resnet50", num_clases=3))
    with pytest.raises(UsageError, match=r"model\.args\.weights_backbone of .* can only be null or DEFAULT"):
        build_model(resolve("fcn_resnet50", weights_backbone="mine.pth"))


def test_pretrained_segmentation_gets_other_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pretrained(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Conv2d(3, 4, 1)
            self.low, self.high = nn.Conv2d(4, 21, 1), nn.Conv2d(4, 21, 1)
            self.aux_classifier = nn.Conv2d(4, 21, 1)

    models = Namespace(Pretrained())
    monkeypatch.setattr(torchvision_models, "_models", lambda: models)
    model = build_model(resolve("tiny-segmentation", weights="DEFAULT"))
    assert models.asked == {"weights": "DEFAULT", "weights_backbone": None}
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items() if "weight" in name}
    assert shapes == {"body.weight": (4, 3, 1, 1), "low.weight": (7, 4, 1, 1), "high.weight": (7, 4, 1, 1)}


@pytest.mark.parametrize("head", [nn.Linear(4, 1000), nn.Conv2d(4, 1000, 1)])
def test_pretrained_model_gets_another_head(head: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    body = nn.Conv2d(3, 4, 1)
    models = Namespace(nn.Sequential(body, nn.Sequential(head)))
    monkeypatch.setattr(torchvision_models, "_models", lambda: models)
    model = build_model(resolve("tiny", weights="DEFAULT"))
    assert models.asked == {"weights": "DEFAULT"}
    assert model.get_submodule("0") is body
    new = model.get_submodule("1.0")
    assert type(new) is type(head)
    assert new.weight.shape[0] == 7
