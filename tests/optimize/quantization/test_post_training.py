"""Quantization without training: what is rounded, what stays, and that the runtime computes the same."""

from __future__ import annotations

from pathlib import Path

import observed_models as models
import pytest
import torch
from torch import Tensor, nn

from edgetrain.artifacts.transforms import KeptZeros
from edgetrain.errors import UsageError
from edgetrain.models.calling import call_model
from edgetrain.models.transforms import apply_transforms
from edgetrain.optimize.quantization import post_training, write_program
from edgetrain.runtimes.inference import InferenceProgram


class Classifier(nn.Module):
    """[B, 3, 8, 8] → [B, 4], with layers large enough for 4 bits to be worth it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 16, 3, padding=1)
        self.hidden = nn.Linear(16 * 64, 64)
        self.head = nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.hidden(torch.relu(self.body(x)).flatten(1))))


def plain() -> nn.Module:
    torch.manual_seed(0)
    return Classifier().eval()


def integers(model: nn.Module) -> set[tuple[int, ...]]:
    """Shapes of the weights that are kept in int8."""
    shapes = {tuple(t.shape) for t in model.state_dict().values() if t.dtype == torch.int8 and t.dim() > 1}
    return {shape for shape in shapes if shape[1] > 1}  # the others are zero points


BODY, HIDDEN, HEAD = (16, 3, 3, 3), (64, 1024), (4, 64)


@pytest.mark.parametrize(
    ("settings", "rounded", "least"),
    [
        ({}, {BODY, HIDDEN, HEAD}, 30),
        ({"skip": ["hidden"]}, {BODY, HEAD}, 30),
        ({"skip": ["h*"]}, {BODY}, 30),
        ({"activations": "dynamic"}, {HIDDEN, HEAD}, 35),
        ({"linear_bits": 4}, {BODY, HIDDEN, HEAD}, 18),
        ({"linear_bits": 4, "skip": ["head", "body"]}, {HIDDEN}, 18),
    ],
)
def test_what_is_rounded(settings: dict, rounded: set, least: float) -> None:
    model, x = plain(), models.images(32)
    int8 = post_training(model, {"x": x}, **settings)
    assert integers(int8) == rounded
    with torch.no_grad():
        assert least < models.sqnr(int8(x), model(x)) < 70


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"activations": "dynamic", "linear_bits": 4},
        pytest.param({"activations": "dynamic"}, marks=pytest.mark.thorough),
        pytest.param({"linear_bits": 4}, marks=pytest.mark.thorough),
        pytest.param({"skip": ["hidden"]}, marks=pytest.mark.thorough),
    ],
)
def test_the_runtime_computes_the_same(settings: dict, tmp_path: Path) -> None:
    model, x = plain(), models.images(32)
    int8 = post_training(model, {"x": x}, **settings)
    write_program(int8, [x[:2]], tmp_path / "model.pte")
    program = InferenceProgram(tmp_path / "model.pte", threads=1)
    for batch in (1, 8):
        found = program.run(x[:batch])[0].clone()
        with torch.no_grad():
            assert models.sqnr(found, int8(x[:batch])) > 30
    size = (tmp_path / "model.pte").stat().st_size
    weights = sum(parameter.numel() for parameter in model.parameters())
    hidden = 1 if settings.get("linear_bits", 8) == 8 else 0.5
    assert size < (4 if "skip" in settings else hidden) * weights + 16_000


def test_small_outputs_are_not_lost() -> None:
    """ExecuTorch's own configuration has no scale below 2.4e-4."""
    model, x = plain(), models.images(32)
    with torch.no_grad():
        model.head.weight.mul_(1e-3)
        model.head.bias.mul_(1e-3)
        int8 = post_training(model, {"x": x})
        assert model(x).abs().max() < 2e-3
        assert models.sqnr(int8(x), model(x)) > 25


def test_pruned_layers() -> None:
    """They are rounded like others, and their zeros are zeros in int8."""
    model, x = plain(), models.images(32)
    with torch.no_grad():
        for layer in (model.body, model.hidden):
            layer.weight[torch.rand_like(layer.weight) < 0.5] = 0
    zeros = {tuple(w.shape): w == 0 for w in (model.body.weight, model.hidden.weight)}
    sparse = apply_transforms(
        model, [KeptZeros(module=name, pattern="unstructured") for name in ("body", "hidden")]
    )
    int8 = post_training(sparse, {"x": x})
    assert integers(int8) == {BODY, HIDDEN, HEAD}
    with torch.no_grad():
        assert models.sqnr(int8(x), model(x)) > 30
    for tensor in int8.state_dict().values():
        if tensor.dtype == torch.int8 and tuple(tensor.shape) in zeros:
            assert (tensor[zeros[tuple(tensor.shape)]] == 0).all()
    assert type(sparse.body).__name__ == "SparseConv2d"


def test_inputs_by_name() -> None:
    torch.manual_seed(0)
    model = models.Named()
    inputs = {"scalars": torch.randn(9, 3), "image": torch.randn(9, 4)}
    int8 = post_training(model, inputs)
    expected = call_model(model, inputs)
    for found in (call_model(int8, inputs), int8(*inputs.values())):
        assert models.sqnr(found["logits"], expected["logits"]) > 30


def test_linear_layers_of_other_lengths_have_8_bits() -> None:
    model, x = nn.Sequential(nn.Linear(64, 40), nn.Linear(40, 4)).eval(), torch.randn(8, 64)
    int8 = post_training(model, {"x": x}, linear_bits=4)
    largest = {
        tuple(t.shape): t.abs().max().item() for t in int8.state_dict().values() if t.dtype == torch.int8
    }
    assert largest[40, 64] <= 8
    assert largest[4, 40] == 127


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 4, 3), nn.Linear(8, 4)])
def test_no_linear_layer(layer: nn.Module) -> None:
    with pytest.raises(UsageError, match="no linear layer whose weights could have 4 bits"):
        post_training(nn.Sequential(layer), {"x": models.images()}, linear_bits=4)


def test_a_pattern_that_fits_nothing() -> None:
    with pytest.raises(UsageError, match=r"'hiden' matches no layer .* did you mean 'hidden'"):
        post_training(plain(), {"x": models.images()}, skip=["hiden"])
