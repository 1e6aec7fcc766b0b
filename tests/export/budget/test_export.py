"""Exports under a budget, with the real planner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from edgetrain.artifacts.checkpoint import Checkpoint, save_checkpoint
from edgetrain.artifacts.manifest import load_manifest
from edgetrain.artifacts.specs import INPUTS, TARGETS, InputSpec, TaskSpec
from edgetrain.artifacts.transforms import SplitOutputs
from edgetrain.config.model import ModelConfig
from edgetrain.config.stages import ExportCommand
from edgetrain.config.update_rules import read_update_rules
from edgetrain.errors import UsageError
from edgetrain.export import export
from edgetrain.models import build_model

# Of a network whose whole update takes 27 kB, and its last layer 3 kB.
BUDGET = 12_000


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of two layers, [B, 40] → [B, 4], beside samples for it."""
    path = tmp_path_factory.mktemp("budget") / "model.pth"
    torch.manual_seed(0)
    config = ModelConfig(name="mlp", args={"in_features": 40, "hidden": [64], "num_classes": 4})
    task = TaskSpec(name="classification", loss="cross_entropy", classes=("a", "b", "c", "d"))
    state: dict[str, Tensor] = build_model(config).state_dict()
    inputs = {INPUTS: InputSpec(shape=(40,))}
    save_checkpoint(path, Checkpoint(model=config, state=state, inputs=inputs, task=task))
    random = np.random.default_rng(0)
    samples = {INPUTS: random.normal(size=(48, 40)).astype("float32"), TARGETS: np.arange(48) % 4}
    np.savez(path.with_name("samples.npz"), **samples)
    return path


def command(**settings: object) -> ExportCommand:
    return ExportCommand.model_validate({"export": {"max_batch_size": 4, **settings}})


def test_export_within_a_budget(checkpoint: Path, tmp_path: Path) -> None:
    samples = checkpoint.with_name("samples.npz")
    result = export(command(update=f"budget:{BUDGET}", calibration=samples), checkpoint, tmp_path / "model")
    chosen, manifest = result.chosen, result.manifest
    assert chosen is not None
    assert result.rules == tmp_path / "model.update.yaml"
    assert chosen.planned == sum(manifest.contract.methods["train"].arena_bytes)
    assert 0.7 * BUDGET < chosen.planned <= BUDGET
    assert chosen.predicted == pytest.approx(chosen.planned, rel=0.2)
    assert manifest.rules == chosen.rules == read_update_rules(result.rules)
    assert [type(transform) for transform in manifest.transforms] == [SplitOutputs]
    assert load_manifest(result.manifest_path) == manifest
    # Its rules make the same program.
    again = export(command(update=f"rules:{result.rules}"), checkpoint, tmp_path / "again")
    assert again.manifest.contract == manifest.contract
    assert again.manifest.rules == manifest.rules
    assert (again.chosen, again.rules) == (None, None)


def test_the_least_is_named_and_nothing_written(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"budget:100B: the least found for training is [\d,]+ bytes"):
        export(command(update="budget:100B"), checkpoint, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_samples_that_dont_fit(checkpoint: Path, tmp_path: Path) -> None:
    samples = tmp_path / "samples.npz"
    np.savez(samples, inputs=np.zeros((8, 39), np.float32), targets=np.zeros(8, np.int64))
    with pytest.raises(UsageError, match=r"--calibration .*samples\.npz doesn't fit the model: .*39.*40"):
        export(command(update="budget:1MB", calibration=samples), checkpoint, tmp_path / "model")
    np.savez(samples, inputs=np.zeros((3, 40), np.float32), targets=np.zeros(3, np.int64))
    config = command(update="budget:1MB", calibration=samples, sensitivity="accuracy")
    with pytest.raises(UsageError, match=r"too few to compare by; it takes 4"):
        export(config, checkpoint, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["samples.npz"]
