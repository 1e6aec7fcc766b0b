"""Data that doesn't fit a model is refused with what to do about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from edgetrain.artifacts.specs import Task, TensorSpec
from edgetrain.config.data import DataConfig
from edgetrain.data import load_dataset
from edgetrain.data.checks import check_fits, check_targets
from edgetrain.errors import InputError

IMAGES = TensorSpec(shape=(1, 8, 8))
CLASSIFY = Task()
Y = torch.tensor([0, 1, 2, 9])


def test_what_fits_passes() -> None:
    check_targets(Y, CLASSIFY, 10)
    check_targets(Y, CLASSIFY, None)
    check_targets(torch.rand(4, 3), Task(loss="mse"), None)
    check_targets(torch.ones(4, 3), Task(loss="bce_with_logits"), 3)
    check_fits(load_dataset(DataConfig()), IMAGES, Task(classes=list("0123456789")))


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({}, (3, 32, 32), "are 1x8x8, the model takes 3x32x32; use --image-size 32 --channels 3"),
        ({}, (1, 16, 16), "are 1x8x8, the model takes 1x16x16; use --image-size 16"),
        ({"channels": 3}, (1, 8, 8), "are 3x8x8, the model takes 1x8x8; use --channels 1"),
        ({}, (2,), "are 1x8x8, the model takes 2; use other data"),
        ({"name": "synthetic"}, (1, 8, 8), "are 3x32x32, the model takes 1x8x8; use other data"),
    ],
)
def test_shapes(options: dict[str, Any], shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError) as caught:
        check_fits(load_dataset(DataConfig(**options)), TensorSpec(shape=shape), CLASSIFY)
    assert message in str(caught.value)


def test_a_label_out_of_range_is_named_with_its_sample() -> None:
    with pytest.raises(
        InputError, match=r"sample 3 has the label 9, but the model has 5 classes \(labels 0 to 4\)"
    ):
        check_targets(Y, CLASSIFY, 5)
    with pytest.raises(InputError, match="sample 1 has the label -1"):
        check_targets(torch.tensor([0, -1, 0, 0]), CLASSIFY, None)
    data = load_dataset(DataConfig(name="synthetic", args={"shape": [2]}))
    with pytest.raises(InputError, match="train sample 5 has the label 5, but the model has 5 classes"):
        check_fits(data, TensorSpec(shape=(2,)), Task(classes=["a", "b", "c", "d", "e"]))


@pytest.mark.parametrize(
    ("targets", "task", "message"),
    [
        (torch.zeros(4), "cross_entropy", "needs class labels.*float32.*--loss mse"),
        (torch.zeros(4, 2, dtype=torch.int64), "cross_entropy", "one label per sample"),
        (Y, "mse", "mse needs float32 targets, the data's are int64; use --loss cross_entropy"),
        (Y, "l1", "l1 needs float32"),
        (
            torch.tensor([0, 1]),
            "bce_with_logits",
            "bce_with_logits needs float32.*store the targets as float32",
        ),
        (
            torch.tensor([[0.0, 3.0]]),
            "bce_with_logits",
            "sample 0 has the target 3; bce_with_logits needs 0 to 1",
        ),
        (torch.tensor([[0.0]]), "bce_with_logits", "have the shape 1, the model predicts 2 labels"),
        (torch.tensor([[0.0], [float("nan")]]), "mse", "targets of sample 1 hold a NaN"),
    ],
)
def test_targets_must_suit_the_loss(targets: torch.Tensor, task: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_targets(targets, Task(loss=task), 2)


def test_inputs_must_be_of_the_right_kind() -> None:
    ids = replace(load_dataset(DataConfig()), input=TensorSpec(shape=(1, 8, 8), dtype="int64"))
    with pytest.raises(InputError, match="samples are int64, the model takes float32"):
        check_fits(ids, IMAGES, CLASSIFY)


def test_known_classes_at_other_labels_are_refused() -> None:
    data = load_dataset(DataConfig())
    turned = list("1023456789")
    with pytest.raises(InputError, match="class '0' is label 0 in the data but 1 in the model"):
        check_fits(data, IMAGES, Task(classes=turned))
    check_fits(data, IMAGES, Task(classes=[f"other{i}" for i in range(10)]))
