import math

import pytest
import torch

from edgetrain.artifacts.specs import Task
from edgetrain.engine.metrics import Meter, count_correct


def test_mean_is_weighted_by_samples() -> None:
    meter = Meter()
    meter.add(1.0, 2.0, 3)
    meter.add(5.0, 1.0, 1)
    meter.add(100.0, 0.0, 0)
    assert meter.loss == 2.0
    assert meter.accuracy == 0.75


def test_regression_has_no_accuracy() -> None:
    meter = Meter()
    assert math.isnan(meter.loss)
    meter.add(1.0, None, 3)
    assert meter.accuracy is None
    assert count_correct(Task(loss="mse"), torch.zeros(2), torch.zeros(2)) is None


def test_all_wrong_is_zero_not_none() -> None:
    meter = Meter()
    meter.add(1.0, 0.0, 3)
    assert meter.accuracy == 0.0


def test_correct_classes() -> None:
    count = count_correct(Task(), torch.tensor([1, 2, 0]), torch.tensor([1, 0, 0]))
    assert count is not None
    assert float(count) == 2


def test_share_of_right_labels() -> None:
    task = Task(loss="bce_with_logits")
    predictions = torch.tensor([[True, False, True], [True, True, True]])
    targets = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    count = count_correct(task, predictions, targets)
    assert count is not None
    assert float(count) == pytest.approx(1 + 1 / 3)
