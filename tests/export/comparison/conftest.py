"""A small classifier, and samples that tell its classes apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgetrain.artifacts.checkpoint import Checkpoint, save_checkpoint
from edgetrain.artifacts.specs import INPUTS, TARGETS, InputSpec, TaskSpec
from edgetrain.config.model import ModelConfig
from edgetrain.models import build_model


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a network of two layers, [B, 6] → [B, 2]."""
    path = tmp_path_factory.mktemp("classifier") / "model.pth"
    torch.manual_seed(0)
    config = ModelConfig(name="mlp", args={"in_features": 6, "hidden": [8], "num_classes": 2})
    task = TaskSpec(name="classification", loss="cross_entropy", classes=["low", "high"])
    state = build_model(config).state_dict()
    save_checkpoint(
        path, Checkpoint(model=config, state=state, inputs={INPUTS: InputSpec(shape=[6])}, task=task)
    )
    return path


@pytest.fixture(scope="session")
def samples(classifier: Path) -> Path:
    """64 samples whose class is whether their sum is positive."""
    path = classifier.with_name("samples.npz")
    inputs = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
    np.savez(path, **{INPUTS: inputs, TARGETS: (inputs.sum(1) > 0).astype(np.int64)})
    return path
