"""Networks of torchvision with observers: without rounding they are themselves, with it their int8 model."""

from __future__ import annotations

import copy

import observed_models as models
import pytest
import torch

from edgetrain.artifacts.specs import TensorSpec
from edgetrain.artifacts.transforms import Observers
from edgetrain.models.transforms.observed.model import int8_module
from edgetrain.models.transforms.observers import observe
from edgetrain.upstream.layers import batch_norm_types, dropout_types
from edgetrain.vision import import_torchvision

_MORE = [
    "resnet18",
    "mobilenet_v2",
    "efficientnet_b0",
    "densenet121",
    "shufflenet_v2_x0_5",
    "googlenet",
    "regnet_y_400mf",
    "convnext_tiny",
]


@pytest.mark.parametrize(
    "name", ["mobilenet_v3_small", *(pytest.param(name, marks=pytest.mark.thorough) for name in _MORE)]
)
def test_network(name: str) -> None:
    torchvision = import_torchvision()
    torch.manual_seed(0)
    further = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    plain = getattr(torchvision.models, name)(weights=None, **further)
    for module in plain.modules():
        if isinstance(module, dropout_types()) or type(module).__name__ == "StochasticDepth":
            module.p = 0.0
        elif isinstance(module, batch_norm_types()):
            module.weight.data.uniform_(0.5, 1.5)
            module.momentum = 0.5  # statistics are those of a few batches
    x = torch.randn(8, 3, 32, 32)
    with torch.no_grad():
        for _ in range(4):
            plain(x)
        observed = observe(copy.deepcopy(plain), Observers(inputs={"x": TensorSpec(shape=(3, 32, 32))}))
        own = [key for key in observed.state_dict() if not key.startswith("observers.")]
        assert own == list(plain.state_dict())
        models.switch_rounding(observed, False)
        assert models.sqnr(observed.eval()(x), plain.eval()(x)) > 90
        assert models.sqnr(observed.train()(x), plain.train()(x)) > 80
        models.switch_rounding(observed, True)
        observed.calibrate({"x": x})
        observed.eval()
        found = models.sqnr(int8_module(observed)(x), observed(x))
    alone = name == "densenet121"  # its norms by themselves become a scale and a shift
    assert found > (20 if alone else 1000)
