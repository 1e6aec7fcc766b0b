"""Programs whose frozen layers run on XNNPACK: as a whole, and what is said where it can't be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import export_models as models
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.specs import INPUTS, TARGETS
from edgetrain.config.stages import ExportConfig
from edgetrain.errors import CheckFailedError, InputError, UsageError
from edgetrain.export import ExportResult, export
from edgetrain.export.backbone import fidelity
from edgetrain.factories import Trusted
from edgetrain.runtimes import open_session
from edgetrain.runtimes.base import GraphSession

SHAPE = (3, 16, 16)


def samples(path: Path, count: int = 24, shape: tuple[int, ...] = SHAPE, classes: int = 4) -> Path:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(count, *shape)).astype("float32")
    np.savez(path, inputs=inputs, targets=np.arange(count) % classes)
    return path


def exported(folder: Path, **settings: Any) -> ExportResult:
    checkpoint = models.write_checkpoint(folder / "model.pth", models.Pools)
    command = models.command(update="head", max_batch_size=4, **settings)
    trusted = Trusted(models.factory_name(models.Pools))
    return export(command, checkpoint, folder / "model", trusted=trusted)


@pytest.fixture(scope="module")
def float_program(tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    return exported(tmp_path_factory.mktemp("float"), backbone="xnnpack")


@pytest.fixture(scope="module")
def int8_program(tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    folder = tmp_path_factory.mktemp("int8")
    return exported(folder, backbone="xnnpack-int8", calibration=samples(folder / "samples.npz"))


def test_methods_take_features(float_program: ExportResult) -> None:
    contract = float_program.manifest.contract
    assert [a.name for a in contract.sample_inputs] == [INPUTS]
    assert contract.features == ["features"]
    backbone = contract.methods["backbone"]
    assert [(a.name, a.role, a.shape) for a in backbone.outputs] == [("features", "output", ["batch", 8])]
    for name in ("train", "gradients", "evaluate", "predict"):
        assert [a.name for a in contract.methods[name].taken("input")] == ["features"]
    for name in ("train", "gradients", "evaluate"):
        assert [a.name for a in contract.methods[name].taken("target")] == [TARGETS]
    assert {t.name for t in contract.stored} == {"head.weight", "head.bias"}
    assert set(load_program(float_program.program).tensors()) == {"head.weight", "head.bias"}
    assert sum(contract.methods["train"].arena_bytes) < 1000


def test_float_backbone_is_compared_as_a_whole(float_program: ExportResult) -> None:
    found = float_program.verification
    assert found.features_sqnr is None
    assert found.loss < 1e-5
    assert found.gradients is not None
    assert found.gradients < 1e-5


@pytest.mark.slow
def test_matrix_products_behind_a_backbone(tmp_path: Path) -> None:
    """XNNPACK has fast convolutions; those that are trained become products, for the kernels of a stock
    runtime."""
    checkpoint = models.write_checkpoint(tmp_path / "model.pth", models.Pools)
    command = models.command(backbone="xnnpack", convolutions="im2col", update="last:2", max_batch_size=4)
    trusted = Trusted(models.factory_name(models.Pools))
    result = export(command, checkpoint, tmp_path / "model", trusted=trusted)
    found = result.verification
    assert found.gradients is not None
    assert max(found.loss, found.gradients, found.weights_after_steps, found.predict_after_steps) < 1e-5
    contract = result.manifest.contract
    assert contract.trainable == ["body.5.weight", "body.5.bias", "head.weight", "head.bias"]
    operators = {name: " ".join(method.operators) for name, method in contract.methods.items()}
    products = {name for name, used in operators.items() if "aten::bmm" in used}
    assert products == {"train", "gradients", "evaluate", "predict"}
    assert not [name for name, used in operators.items() if "convolution" in used]
    program = load_program(result.program)
    torch.manual_seed(0)
    inputs, targets = {INPUTS: torch.randn(4, *SHAPE)}, {TARGETS: torch.arange(4)}
    eager, session = open_session("torch", program, trusted=trusted), open_session("executorch", program)
    expected = eager.forward_backward(inputs, targets)
    assert session.forward_backward(inputs, targets).loss == pytest.approx(expected.loss, rel=1e-5)
    for name, gradient in session.gradients.items():
        torch.testing.assert_close(gradient, eager.gradients[name], rtol=1e-4, atol=1e-6)


def test_int8_backbone_is_compared_by_its_features(int8_program: ExportResult) -> None:
    found = int8_program.verification
    assert found.features_sqnr is not None
    assert found.features_sqnr > 20
    assert found.loss < 1e-5
    assert found.gradients is not None
    assert found.gradients < 1e-5
    # What stays in float32 is little.
    assert not any("convolution" in o for o in int8_program.manifest.contract.methods["backbone"].operators)


def test_sessions_take_samples_and_features(float_program: ExportResult) -> None:
    program = load_program(float_program.program)
    trusted = Trusted(models.factory_name(models.Pools))
    torch.manual_seed(0)
    inputs, targets = {INPUTS: torch.randn(3, *SHAPE)}, {TARGETS: torch.tensor([0, 1, 2])}
    eager = open_session("torch", program, trusted=trusted)
    session = open_session("executorch", program)
    assert isinstance(session, GraphSession)
    features = session.features(inputs)
    expected = eager.evaluate(inputs, targets)
    for given in (inputs, features):
        found = session.evaluate(given, targets)
        assert found.loss == pytest.approx(expected.loss, rel=1e-5)
        assert session.forward_backward(given, targets).loss == pytest.approx(expected.loss, rel=1e-5)
        torch.testing.assert_close(session.predict(given)["output"], eager.predict(inputs)["output"])
    eager.forward_backward(inputs, targets)
    session.forward_backward(features, targets)
    for name, gradient in session.gradients.items():
        torch.testing.assert_close(gradient, eager.gradients[name])


def test_torch_needs_the_checkpoint(float_program: ExportResult, tmp_path: Path) -> None:
    for path in (float_program.program, float_program.weights, float_program.manifest_path):
        assert path is not None
        (tmp_path / path.name).write_bytes(path.read_bytes())
    trusted = Trusted(models.factory_name(models.Pools))
    with pytest.raises(InputError, match=r"put the checkpoint it was exported from \(model\.pth\) beside it"):
        open_session("torch", load_program(tmp_path / "model.pte"), trusted=trusted)


def test_noisy_features_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fidelity, "LEAST_SQNR", 100.0)
    with pytest.raises(CheckFailedError, match=r"SQNR of \d+\.\d dB, less than 100.*--calibration"):
        exported(tmp_path, backbone="xnnpack-int8", calibration=samples(tmp_path / "samples.npz"))
    assert {path.name for path in tmp_path.iterdir()} == {"model.pth", "samples.npz"}


def test_layers_have_to_be_frozen(tmp_path: Path) -> None:
    checkpoint = models.write_checkpoint(tmp_path / "model.pth", models.Pools)
    trusted = Trusted(models.factory_name(models.Pools))
    with pytest.raises(UsageError, match=r"none before body\.0\.weight; .*--update head"):
        export(models.command(backbone="xnnpack"), checkpoint, tmp_path / "model", trusted=trusted)


def test_layers_trained_in_part_are_refused(tmp_path: Path) -> None:
    checkpoint = models.write_checkpoint(tmp_path / "model.pth", models.Pools)
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n  - {pattern: head, train: 0.5}\n")
    command = models.command(backbone="xnnpack", update=f"rules:{rules}", max_batch_size=4)
    trusted = Trusted(models.factory_name(models.Pools))
    with pytest.raises(UsageError, match="frozen whole, but head is trained in part"):
        export(command, checkpoint, tmp_path / "model", trusted=trusted)
    assert not (tmp_path / "model.pte").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "xnnpack-int8"}, "needs calibration"),
        ({"backbone": "xnnpack", "batch_norm": "train"}, "needs batch_norm: frozen"),
    ],
)
def test_settings_that_contradict_each_other(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ExportConfig.model_validate(settings)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda path: samples(path, shape=(3, 8, 8)), UsageError, "--calibration .* doesn't fit .* 3x8x8"),
        (lambda path: path, InputError, "does not exist"),
        (lambda path: path.write_bytes(b"PK") and path, InputError, "damaged"),
    ],
)
def test_samples_have_to_fit(tmp_path: Path, make: Any, error: type[Exception], message: str) -> None:
    path = make(tmp_path / "samples.npz")
    with pytest.raises(error, match=message):
        exported(tmp_path, backbone="xnnpack-int8", calibration=path)
