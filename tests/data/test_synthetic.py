"""`synthetic`: learnable, repeatable, and strict about its arguments."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from edgetrain.config.data import DataConfig
from edgetrain.data import Dataset, load_dataset
from edgetrain.errors import ConfigError


def synthetic(seed: int = 0, **args: Any) -> Dataset:
    return load_dataset(DataConfig(name="synthetic", seed=seed, args=args))


def test_defaults() -> None:
    data = synthetic()
    assert (len(data.train), len(data.test), data.input.shape) == (512, 128, (3, 32, 32))
    assert data.classes == list("0123456789")
    assert not data.augmentation


def test_nearest_class_mean_of_the_training_split_classifies_the_test_split() -> None:
    data = synthetic(shape=[16], classes=4, samples=200, test_samples=100)
    x, y = data.train.inputs(range(200)), data.train.targets
    means = torch.stack([x[y == label].mean(0) for label in range(4)])
    guesses = torch.cdist(data.test.inputs(range(100)), means).argmin(1)
    assert float((guesses == data.test.targets).float().mean()) > 0.9


@pytest.mark.parametrize("task", ["regress", "multilabel"])
def test_linear_functions_of_the_inputs_predict_the_targets(task: str) -> None:
    data = synthetic(shape=[2, 3], classes=2, samples=300, test_samples=100, task=task)
    assert data.train.targets.shape == (300, 2)
    assert data.train.targets.dtype == torch.float32
    assert data.classes == (None if task == "regress" else ["0", "1"])
    x, y = data.train.inputs(range(300)).flatten(1), data.train.targets
    shift = 0.5 if task == "multilabel" else 0.0
    weights = torch.linalg.lstsq(x, y - shift).solution
    predicted = data.test.inputs(range(100)).flatten(1) @ weights
    if task == "regress":
        torch.testing.assert_close(predicted, data.test.targets, atol=1e-4, rtol=1e-4)
    else:
        assert float(((predicted > 0) == data.test.targets.bool()).float().mean()) > 0.85


def test_the_seed_decides() -> None:
    one, same, other = synthetic(seed=1), synthetic(seed=1), synthetic(seed=2)
    assert torch.equal(one.train.inputs([3]), same.train.inputs([3]))
    assert not torch.equal(one.train.inputs([3]), other.train.inputs([3]))


def test_wrong_arguments_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        synthetic(sampels=3, classes=0, shape=[3, -1], task="guess")
    text = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 4
    assert "did you mean 'samples'?" in text
    with pytest.raises(ConfigError, match="known are shape, classes, samples, test_samples, task"):
        synthetic(zzz=1)
