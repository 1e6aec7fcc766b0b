"""`synthetic`: learnable, repeatable, and strict about its arguments."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from edgetrain.artifacts.specs import TensorSpec
from edgetrain.config.data import DataConfig
from edgetrain.data import Dataset, load_dataset
from edgetrain.errors import ConfigError


def synthetic(seed: int = 0, **args: Any) -> Dataset:
    return load_dataset(DataConfig(name="synthetic", seed=seed, args=args))


def test_defaults() -> None:
    data = synthetic()
    assert (len(data.train), len(data.test), data.inputs["inputs"].shape) == (512, 128, (3, 32, 32))
    assert data.classes == list("0123456789")
    assert not data.augmentation


def test_nearest_class_mean_of_the_training_split_classifies_the_test_split() -> None:
    data = synthetic(shape=[16], classes=4, samples=200, test_samples=100)
    x, y = data.train.inputs(range(200))["inputs"], data.train.labels
    means = torch.stack([x[y == label].mean(0) for label in range(4)])
    guesses = torch.cdist(data.test.inputs(range(100))["inputs"], means).argmin(1)
    assert float((guesses == data.test.labels).float().mean()) > 0.9


@pytest.mark.parametrize("task", ["regress", "multilabel"])
def test_linear_functions_of_the_inputs_predict_the_targets(task: str) -> None:
    data = synthetic(shape=[2, 3], classes=2, samples=300, test_samples=100, task=task)
    assert data.targets["targets"] == TensorSpec(shape=(2,), dtype="float32")
    assert data.classes == (None if task == "regress" else ["0", "1"])
    x, y = data.train.inputs(range(300))["inputs"].flatten(1), data.train.targets(range(300))["targets"]
    shift = 0.5 if task == "multilabel" else 0.0
    weights = torch.linalg.lstsq(x, y - shift).solution
    predicted = data.test.inputs(range(100))["inputs"].flatten(1) @ weights
    expected = data.test.targets(range(100))["targets"]
    if task == "regress":
        torch.testing.assert_close(predicted, expected, atol=1e-4, rtol=1e-4)
    else:
        assert float(((predicted > 0) == expected.bool()).float().mean()) > 0.85


def test_pixels_of_a_direction_have_its_class() -> None:
    data = synthetic(shape=[2, 6, 5], classes=3, samples=50, test_samples=20, task="segment")
    assert (data.task, data.ignored, data.classes) == ("segmentation", 255, ["0", "1", "2"])
    assert data.targets["targets"] == TensorSpec(shape=(6, 5), dtype="int64")
    x, y = data.train.inputs(range(50))["inputs"], data.train.targets(range(50))["targets"]
    means = torch.stack([x.permute(0, 2, 3, 1)[y == label].mean(0) for label in range(3)])
    test = data.test.inputs(range(20))["inputs"]
    guesses = torch.einsum("nchw,kc->nkhw", test, means).argmax(1)
    assert float((guesses == data.test.targets(range(20))["targets"]).float().mean()) > 0.8


def test_a_token_tells_its_class() -> None:
    data = synthetic(shape=[12], classes=7, samples=50, test_samples=20, task="tokens")
    assert (data.task, data.ignored) == ("token-classification", -100)
    assert (data.inputs["inputs"].dtype, data.targets["targets"].shape) == ("int64", (12,))
    classes: dict[int, set[int]] = {}
    for part, count in ((data.train, 50), (data.test, 20)):
        samples = part.samples(range(count))
        ids, tags = samples.inputs["inputs"].flatten(), samples.targets["targets"].flatten()
        for token, tag in zip(ids.tolist(), tags.tolist(), strict=True):
            classes.setdefault(token, set()).add(tag)
    assert sorted(classes) == list(range(7))
    assert sorted(tag for tags in classes.values() for tag in tags) == list(range(7))


@pytest.mark.parametrize(("task", "needed"), [("segment", r"\[C, H, W\]"), ("tokens", r"\[T\]")])
def test_shapes_of_dense_tasks(task: str, needed: str) -> None:
    with pytest.raises(ConfigError, match=f"{task} needs {needed}, not \\[2, 2\\]"):
        synthetic(shape=[2, 2], task=task)


def test_the_seed_decides() -> None:
    one, same, other = synthetic(seed=1), synthetic(seed=1), synthetic(seed=2)
    assert torch.equal(one.train.inputs([3])["inputs"], same.train.inputs([3])["inputs"])
    assert not torch.equal(one.train.inputs([3])["inputs"], other.train.inputs([3])["inputs"])


def test_wrong_arguments_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        synthetic(sampels=3, classes=0, shape=[3, -1], task="guess")
    text = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 4
    assert "did you mean 'samples'?" in text
    with pytest.raises(ConfigError, match="known are shape, classes, samples, test_samples, task"):
        synthetic(zzz=1)
