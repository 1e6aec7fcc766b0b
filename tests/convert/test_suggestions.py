"""Architectures are found by sketches of names and shapes."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor

from edgetrain.config.model import ModelConfig
from edgetrain.convert.architecture_table import known_architectures, likeness, sketches_of
from edgetrain.convert.suggestions import describe_weights, suggest_models
from edgetrain.models import build_model


def _state(name: str, **args: Any) -> dict[str, Tensor]:
    return dict(build_model(ModelConfig(name=name, args=args)).state_dict())


@pytest.mark.parametrize(
    ("name", "args", "flags"),
    [
        ("torchvision:mobilenet_v2", {}, "--model torchvision:mobilenet_v2 --input-shape 3,224,224"),
        (
            "torchvision:resnet18",
            {"num_classes": 7},
            "--model torchvision:resnet18 --model-arg num_classes=7 ",
        ),
        ("torchvision:regnet_y_400mf", {}, "--model torchvision:regnet_y_400mf "),
        ("torchvision:mobilenet_v2", {"width_mult": 0.25}, "--model torchvision:mobilenet_v2 --input-shape"),
        ("digits_cnn", {}, "--model digits_cnn"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "module.", "model.net."])
def test_known_models(name: str, args: dict[str, Any], flags: str, prefix: str) -> None:
    state = {prefix + key: tensor for key, tensor in _state(name, **args).items()}
    assert suggest_models({"step": torch.tensor(1), **state})[0].startswith(flags)


def test_what_is_like_nothing() -> None:
    assert suggest_models({"a.weight": torch.ones(2, 3), "b.bias": torch.ones(2)}) == []
    assert suggest_models({}) == []


def test_models_of_libraries_that_are_missing_are_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What timm calls this is known without it."""
    import edgetrain.convert.suggestions as module

    (known,) = [entry for entry in known_architectures() if entry.model == "timm:mobilenetv3_small_050"]
    assert known.flags == "--model timm:create_model --model-arg model_name=mobilenetv3_small_050"
    assert all("timm" not in flags for flags in suggest_models(_state("torchvision:resnet18"))) or find_spec(
        "timm"
    )
    monkeypatch.setattr(module, "known_architectures", lambda: (known,))
    monkeypatch.setattr(module, "likeness", lambda *_: 1.0)
    for spec, count in ((None, 0), (object(), 1)):
        monkeypatch.setattr(module, "find_spec", lambda _, spec=spec: spec)
        assert len(suggest_models({"a.weight": torch.ones(2)})) == count


def test_the_table_is_that_of_todays_models() -> None:
    for name in ("torchvision:squeezenet1_1", "torchvision:vit_b_32", "xor_mlp"):
        shapes = {key: tuple(tensor.shape) for key, tensor in _state(name).items()}
        (known,) = [entry for entry in known_architectures() if entry.model == name]
        assert sketches_of(shapes) == (known.names, known.shapes), name
        assert shapes[known.head][0] == known.classes


def test_sketches() -> None:
    many = {f"layer{index}.weight": (index, 2) for index in range(200)}
    names, shapes = sketches_of(many)
    assert likeness(names, names) == 1
    half, other = sketches_of({name: (*shape, 1) for name, shape in list(many.items())[:100]})
    assert 0.25 <= likeness(names, half) <= 0.75
    assert likeness(shapes, other) == 0


def test_what_is_said_of_weights() -> None:
    few = {"a": torch.ones(2, 3), "b": torch.ones(1)}
    assert describe_weights(few) == "2 tensors (a [2, 3], b [1])"
    many = {str(index): torch.ones(index) for index in range(9)}
    assert describe_weights(many) == "9 tensors (0 [0], 1 [1], ..., 7 [7], 8 [8])"
