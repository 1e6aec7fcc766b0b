"""What docs/memory.md says of planned bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import export_models as models
import pytest
import torch

from edgetrain.artifacts.specs import INPUTS, TARGETS, InputSpec, TaskSpec
from edgetrain.config.model import ModelConfig
from edgetrain.export.batches import Batch
from edgetrain.export.capture import capture
from edgetrain.export.pipeline import Lowered
from edgetrain.export.planning import lower_captured
from edgetrain.export.recipes import training_recipe
from edgetrain.export.updates import prepare_update
from edgetrain.models import build_model, resolve_model
from edgetrain.reporting import SILENT

TEN = TaskSpec(name="classification", loss="cross_entropy", classes=tuple("0123456789"))
SHAPES = {"cifar_cnn": (3, 32, 32), "mlp": (100,), "torchvision:mobilenet_v2": (3, 64, 64)}


def lowered(name: str, optimizer: dict[str, Any], args: dict[str, Any], **settings: Any) -> Lowered:
    """A program for batches of 8."""
    torch.manual_seed(0)
    shape = SHAPES[name]
    config = resolve_model(ModelConfig(name=name, args=args), {INPUTS: InputSpec(shape=shape)}, 10)
    settings = {"max_batch_size": 8, "update_in_graph": "on", **settings}
    subject = models.subject(build_model(config), shape, TEN, optimizer, **settings)
    size = min(3, subject.settings.planned_batch_size)
    batch = Batch({INPUTS: torch.randn(size, *shape)}, {TARGETS: torch.randint(0, 10, (size,))})
    transforms = prepare_update(subject.module, batch.inputs, subject.settings, SILENT)
    subject = replace(subject, transforms=transforms)
    return lower_captured(capture(subject, batch), training_recipe(subject.config), "test")


@pytest.mark.parametrize(
    ("name", "optimizer", "args", "settings", "most"),
    [
        ("cifar_cnn", {"momentum": 0.9}, {}, {}, (2.0e6, 9.2e6)),
        ("mlp", {"momentum": 0.0}, {"hidden": [100] * 10}, {}, (0.045e6, 0.41e6)),
        pytest.param(
            *("torchvision:mobilenet_v2", {"momentum": 0.0}, {}, {}, (21.5e6, 9e6)),
            marks=[pytest.mark.slow, pytest.mark.thorough],
        ),
        pytest.param(
            *("torchvision:mobilenet_v2", {"momentum": 0.0}, {}, {"recompute": "blocks"}, (9e6, 9e6)),
            marks=[pytest.mark.slow, pytest.mark.thorough],
        ),
        pytest.param(
            *("torchvision:mobilenet_v2", {"momentum": 0.0}, {}, {"update": "head"}, (4.0e6, 0.06e6)),
            marks=[pytest.mark.slow, pytest.mark.thorough],
        ),
        pytest.param(
            *("torchvision:mobilenet_v2", {"momentum": 0.0}, {}),
            *({"update": "head", "micro_batch": 1}, (0.6e6, 0.12e6)),
            marks=[pytest.mark.slow, pytest.mark.thorough],
        ),
    ],
)
def test_planned_bytes(
    name: str,
    optimizer: dict[str, Any],
    args: dict[str, Any],
    settings: dict[str, Any],
    most: tuple[float, float],
) -> None:
    """Of `train`: activations, then the weights that change and the optimizer's state."""
    program = lowered(name, optimizer, args, **settings)
    activations, changing = program.arena_bytes["train"]
    assert activations <= most[0]
    assert changing <= most[1]
    timeline = program.timelines["train"]
    assert timeline.bound <= activations <= 1.001 * timeline.bound
