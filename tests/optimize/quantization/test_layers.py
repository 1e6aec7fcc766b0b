"""Which layer hurts: a layer that was made hard to round is found, and its figures are right."""

from __future__ import annotations

import math
from pathlib import Path

import observed_models as models
import pytest
import torch
from torch import Tensor, nn

from edgetrain.errors import UsageError
from edgetrain.optimize.quantization import LayerNoise, layer_noise, plot_layers, post_training, prepare_qat


class Chain(nn.Module):
    """[B, 3, 8, 8] → [B, 4]; an activation and a pool that belong to a layer, and a sum that is one."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1)
        )
        self.head = nn.Linear(8 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(x)
        return self.head((x + x.flip(3)).flatten(1))


def chain(hard: bool = False) -> Chain:
    torch.manual_seed(0)
    model = Chain().eval()
    if hard:
        with torch.no_grad():  # one channel a thousand times as large, which the next layer divides again
            model.layers[0].weight[0] *= 1000
            model.layers[0].bias[0] *= 1000
            model.layers[3].weight[:, 0] /= 1000
    return model


def test_layers_in_order() -> None:
    x = models.images()
    found = layer_noise(post_training(chain(), {"x": x}, fold=False), [x])
    assert [layer.name for layer in found] == ["input", "layers.0", "layers.3", "(add)", "head"]
    assert [layer.weights for layer in found] == [0, 216, 576, 0, 512]
    assert all(30 < layer.alone_db < 80 and 20 < layer.inside_db < 80 for layer in found)


def test_the_layer_that_hurts() -> None:
    model = post_training(chain(hard=True), {"x": models.images()}, fold=False)
    found = {layer.name: layer.alone_db for layer in layer_noise(model, [models.images()])}
    assert min(found, key=found.__getitem__) == "layers.0"
    assert (
        found["layers.0"] < 15 < min(db for name, db in found.items() if name not in ("layers.0", "layers.3"))
    )


def test_figures_are_those_of_layers_left_out() -> None:
    """The noise of one layer is that of a model where all others stay float32."""
    model, x = chain(), models.images(32)
    whole = post_training(model, {"x": x}, fold=False)
    alone = {layer.name: layer.alone_db for layer in layer_noise(whole, [x])}["head"]
    exact = chain()
    weight = exact.head.weight
    scale = weight.detach().abs().amax(1, keepdim=True) / 127
    with torch.no_grad():
        expected = model(x)
        weight.copy_((weight / scale).round() * scale)
        low, high = expected.min().item(), expected.max().item()
        step = (high - low) / 255
        rounded = (exact(x) / step).round() * step
    assert alone == pytest.approx(models.sqnr(rounded, expected), abs=1.5)


def test_models_with_observers() -> None:
    observed = prepare_qat(models.seasoned(models.Residual()), {"x": models.images()})
    found = layer_noise(observed.eval(), [models.images()])
    names = [layer.name for layer in found]
    assert names == ["input", "first", "second", "(add)", "(mean)", "head", "(mul)"]
    assert all(math.isfinite(layer.alone_db) for layer in found)


def test_int8_weights_have_nothing_to_compare() -> None:
    with pytest.raises(UsageError, match="nothing in the model is rounded"):
        layer_noise(chain(), [models.images()])


@pytest.mark.parametrize("count", [2, 60])
def test_picture(count: int, tmp_path: Path) -> None:
    layers = [LayerNoise(f"blocks.{i}.conv", 10 * i, 20 + i % 7, 15 + i % 5) for i in range(count - 1)]
    layers.append(LayerNoise("head", 5, math.inf, -math.inf))
    plot_layers(layers, tmp_path / "layers.png")
    data = (tmp_path / "layers.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    height = int.from_bytes(data[20:24], "big")
    assert height > 25 * count
