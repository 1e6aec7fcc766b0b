"""Whole exports of every scheme: both runtimes train what was chosen, as eager PyTorch does with the original
layers and the same parameters frozen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import export_models as models
import pytest
import torch
from torch import Tensor, nn

from edgetrain.artifacts.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.specs import INPUTS, TARGETS, InputSpec, TaskSpec
from edgetrain.config.model import ModelConfig
from edgetrain.config.stages import ExportCommand
from edgetrain.export import ExportResult, export
from edgetrain.factories import Trusted
from edgetrain.models import build_model
from edgetrain.models.transforms import merge_transforms
from edgetrain.runtimes import open_session

LEARNING_RATE = 0.05
SCHEMES: dict[str, tuple[type[nn.Module], str | list[dict[str, Any]]]] = {
    "head": (models.Pools, "head"),
    "last layers": (models.Pools, "last:2"),
    "biases": (models.Pools, "bias"),
    "last block": (models.Signals, [{"last_blocks": 2, "train": "all"}]),
    "shares": (models.Signals, [{"pattern": "body.*", "train": 0.5}, {"pattern": "head", "train": 0.25}]),
    "groups": (models.Pools, [{"pattern": "body.0", "train": 0.25}, {"pattern": "body.5", "train": 0.5}]),
    "behind attention": (models.Attention, "head"),
    "adapters in attention": (
        models.Attention,
        [{"pattern": "layer.linear1", "train": {"lora": {"rank": 2, "alpha": 4}}}],
    ),
    "shares in attention": (
        models.Attention,
        [{"pattern": "layer.linear1", "train": 0.25}, {"pattern": "layer.linear2", "train": 0.5}],
    ),
    "adapters": (
        models.Sequences,
        [
            {"pattern": "head", "train": {"lora": {"rank": 2, "alpha": 3}}},
            {"pattern": "rnn", "train": "bias"},
        ],
    ),
}

# The others are left to `make test-all`.
DEFAULTS = ("shares", "adapters", "behind attention", "adapters in attention")


def export_scheme(folder: Path, kind: type[nn.Module], update: str | list[dict[str, Any]]) -> ExportResult:
    if not isinstance(update, str):
        (folder / "rules.json").write_text(json.dumps({"rules": update}))
        update = f"rules:{folder / 'rules.json'}"
    checkpoint = models.write_checkpoint(folder / "model.pth", kind)
    config = ExportCommand.model_validate({"export": {"update": update, "max_batch_size": 4}})
    return export(config, checkpoint, folder / "model", trusted=Trusted(models.factory_name(kind)))


def difference(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).norm() / expected.norm().clamp_min(1e-6)).item()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in DEFAULTS else pytest.mark.thorough) for n in SCHEMES],
)
def test_it_trains_as_eager_does(tmp_path: Path, name: str) -> None:
    """The reference knows nothing of changed layers: it computes the original model with merged weights."""
    kind, update = SCHEMES[name]
    result = export_scheme(tmp_path, kind, update)
    program, trusted = load_program(result.program), Trusted(models.factory_name(kind))
    manifest = program.manifest
    trained = manifest.contract.trainable
    tensors = program.tensors()
    leaves = {n: t.clone().requires_grad_(n in trained) for n, t in tensors.items()}
    model = kind().eval()
    sessions = [open_session(r, program, dropout=False, trusted=trusted) for r in ("torch", "executorch")]
    assert all(session.parameters.keys() == set(trained) for session in sessions)
    torch.manual_seed(1)
    inputs, targets = torch.randn(4, *models.SHAPES[kind]), torch.tensor([0, 1, 2, 3])
    for step in range(5):
        merged = merge_transforms(manifest.transforms, leaves)
        output = torch.func.functional_call(model, merged, (inputs,))
        loss = nn.functional.cross_entropy(output, targets)
        gradients = torch.autograd.grad(loss, [leaves[n] for n in trained])
        for session in sessions:
            found = session.forward_backward({INPUTS: inputs}, {TARGETS: targets})
            assert found.loss == pytest.approx(loss.item(), rel=2e-5), (session.name, step)
            for parameter, gradient in zip(trained, gradients, strict=True):
                error = difference(session.gradients[parameter], gradient)
                assert error < 1e-4, (session.name, step, parameter)
            with torch.no_grad():
                for parameter, tensor in session.parameters.items():
                    tensor.sub_(session.gradients[parameter], alpha=LEARNING_RATE)
        with torch.no_grad():
            for parameter, gradient in zip(trained, gradients, strict=True):
                leaves[parameter].sub_(gradient, alpha=LEARNING_RATE)
    # What evaluation computes is the original model with the trained weights, too.
    with torch.no_grad():
        merged = merge_transforms(manifest.transforms, leaves)
        output = torch.func.functional_call(model, merged, (inputs,))
    for session in sessions:
        assert difference(session.predict({INPUTS: inputs})["output"], output) < 1e-4, session.name
    # Before the first step the original model was in it, whole.
    state = load_checkpoint(tmp_path / "model.pth").state
    assert all(torch.equal(state[n], t) for n, t in merge_transforms(manifest.transforms, tensors).items())


@pytest.mark.slow
@pytest.mark.thorough
def test_a_quarter_of_a_convolution_and_the_head_of_cifar_cnn(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(
        "rules:\n- {pattern: features.6, train: 0.25}\n- {pattern: classifier.3, train: all}\n"
    )
    args = {"in_channels": 3, "image_size": 32, "num_classes": 10}
    model = ModelConfig(name="cifar_cnn", args=args)
    classes = TaskSpec(name="classification", loss="cross_entropy", classes=tuple("abcdefghij"))
    inputs = {INPUTS: InputSpec(shape=(3, 32, 32))}
    save_checkpoint(
        tmp_path / "model.pth", Checkpoint(model, build_model(model).state_dict(), inputs, task=classes)
    )
    config = ExportCommand.model_validate(
        {
            "export": {"update": f"rules:{tmp_path / 'rules.yaml'}", "max_batch_size": 8},
            "optimizer": {"momentum": 0},
        }
    )
    manifest = export(config, tmp_path / "model.pth", tmp_path / "model").manifest
    contract = manifest.contract
    parts = {t.name: t.of for t in contract.tensors if t.of is not None}
    assert [(name, part.parameter, part.start, part.length) for name, part in parts.items()] == [
        ("features.6.trained.weight", "features.6.weight", 0, 32),
        ("features.6.trained.bias", "features.6.bias", 0, 32),
        ("features.6.frozen.weight", "features.6.weight", 32, 96),
        ("features.6.frozen.bias", "features.6.bias", 32, 96),
    ]
    assert contract.trainable == [
        *("features.6.trained.weight", "features.6.trained.bias", "classifier.3.weight", "classifier.3.bias"),
    ]
    assert {t.name for t in contract.changing} == set(contract.trainable)
    # The first layer's results alone are 8 * 32 * 32 * 32 * 4 bytes, and its pooled ones a quarter of that.
    assert sum(contract.methods["train"].arena_bytes) < 2_000_000
