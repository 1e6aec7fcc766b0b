"""Surgery of torchvision's models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from layer_models import moved, operated, operators
from torch import nn

from edgetrain.artifacts.checkpoint import Checkpoint, save_checkpoint
from edgetrain.artifacts.specs import INPUTS, InputSpec, TaskSpec
from edgetrain.config.model import ModelConfig
from edgetrain.config.stages import ExportCommand
from edgetrain.export.stage import export
from edgetrain.models.build import build_model
from edgetrain.models.torchvision_models import resolve_torchvision
from edgetrain.optimize.layers import surgery

MODELS = [
    *("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0", "convnext_tiny"),
    *("shufflenet_v2_x0_5", "regnet_y_400mf", "densenet121", "googlenet"),
]
# What `lite` leaves none of, as layers and as operators that are called.
GONE = (
    "SqueezeExcitation",
    "ReLU6",
    "Hardswish",
    "Hardsigmoid",
    "SiLU",
    "GELU",
    "LeakyReLU",
    "Permute",
    "LayerNorm",
)
GONE_OPERATORS = {
    "hardswish",
    "hardswish_",
    "hardsigmoid",
    "silu",
    "silu_",
    "gelu",
    "hardtanh",
    "hardtanh_",
    "sigmoid",
}
X = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def _model(name: str) -> nn.Module:
    torch.manual_seed(0)
    args = resolve_torchvision(f"torchvision:{name}", {}, InputSpec(shape=(3, 64, 64)), 10)
    return moved(build_model(ModelConfig(name=f"torchvision:{name}", args=args))).eval()


def _chosen(representatives: Sequence[str]) -> list:
    return [n if n in representatives else pytest.param(n, marks=pytest.mark.thorough) for n in MODELS]


@pytest.mark.parametrize("name", _chosen(["mobilenet_v3_small"]))
def test_lite(name: str) -> None:
    result = operated(_model(name), "lite", X)
    assert torch.isfinite(result.model(X)).all()
    left = {type(m).__name__ for m in result.model.modules()}
    assert not left & set(GONE)
    assert not operators(result.model, X) & GONE_OPERATORS
    assert (name in ("shufflenet_v2_x0_5", "densenet121", "googlenet")) == (not result.transforms)
    assert all("batch norm of a map of one value" in note for note in result.notes)
    result.model.train()(X).sum().backward()


@pytest.mark.parametrize("name", _chosen(["mobilenet_v3_small", "shufflenet_v2_x0_5"]))
def test_no_retrain_keeps_the_function(name: str) -> None:
    model = _model(name)
    expected, norms = model(X), sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    result = operated(model, "no-retrain", X)
    found = result.model(X)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert result.difference is None or result.difference <= 1e-5
    left = sum(isinstance(m, nn.BatchNorm2d) for m in result.model.modules())
    # In DenseNet most norms come before the convolutions.
    assert left == (62 if name == "densenet121" else 0)
    assert norms or name == "convnext_tiny"
    assert not any(
        "Dropout" in type(m).__name__ or "Stochastic" in type(m).__name__ for m in result.model.modules()
    )


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["mobilenet_v3_small", "efficientnet_b0"])
def test_lite_models_export_and_train(name: str, tmp_path: Path) -> None:
    """Export compares losses, weights after three steps and outputs with eager PyTorch."""
    torch.manual_seed(0)
    args = resolve_torchvision(f"torchvision:{name}", {}, InputSpec(shape=(3, 64, 64)), 4)
    config = ModelConfig(name=f"torchvision:{name}", args=args)
    result = surgery(build_model(config), "lite", inputs=X)
    task = TaskSpec(name="classification", loss="cross_entropy", classes=tuple("abcd"))
    save_checkpoint(
        tmp_path / "lite.pth",
        Checkpoint(
            model=config,
            state=result.model.state_dict(),
            inputs={INPUTS: InputSpec(shape=(3, 64, 64))},
            task=task,
            transforms=result.transforms,
        ),
    )
    settings = ExportCommand.model_validate({"export": {"max_batch_size": 4}})
    exported = export(settings, tmp_path / "lite.pth", tmp_path / "lite")
    assert exported.program.is_file()  # nothing is left of one that differs


@pytest.mark.thorough
@pytest.mark.parametrize("name", MODELS)
def test_trainable_keeps_the_function(name: str) -> None:
    model = _model(name)
    expected = model(X)
    result = operated(model, "trainable", X)
    torch.testing.assert_close(result.model(X), expected)
    assert not any(type(m).__name__ == "StochasticDepth" for m in result.model.modules())
