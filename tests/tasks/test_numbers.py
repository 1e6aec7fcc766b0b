"""Regression and multi-label: float32 targets of the outputs' shape."""

import pytest
import torch
from sklearn import metrics as sklearn

from edgetrain.artifacts.specs import TaskSpec
from edgetrain.errors import InputError, UsageError
from edgetrain.tasks.multi_label import MultiLabel
from edgetrain.tasks.regression import Regression

OUTPUTS = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
VALUES = torch.randn(30, 4, generator=torch.Generator().manual_seed(1))
LABELS = (VALUES > 0).float()


def regression(loss: str = "mse") -> Regression:
    return Regression(TaskSpec(name="regression", loss=loss))


def multi_label(classes: tuple[str, ...] | None = None) -> MultiLabel:
    return MultiLabel(TaskSpec(name="multi-label", loss="bce_with_logits", classes=classes))


@pytest.mark.parametrize(
    ("loss", "expected"), [("mse", sklearn.mean_squared_error), ("l1", sklearn.mean_absolute_error)]
)
def test_regression(loss: str, expected: object) -> None:
    task, outputs, targets = regression(loss), {"output": OUTPUTS}, {"targets": VALUES}
    found = task.loss(outputs, targets)
    assert found.item() == pytest.approx(expected(VALUES, OUTPUTS))  # type: ignore[operator]
    assert task.predictions(outputs) == {}
    assert {n: s.item() for n, s in task.sums(outputs, targets, torch.tensor(2.0)).items()} == {
        "loss_sum": 60,
        "count": 30,
    }
    assert [metric.name for metric in task.all_metrics] == ["loss"]
    assert task.best == ("loss",)
    random = task.random_targets(outputs, None, torch.Generator().manual_seed(0))
    task.check_targets(random)
    task.check_outputs(outputs, random, 4)


def test_multi_label() -> None:
    task, outputs, targets = multi_label(), {"output": OUTPUTS}, {"targets": LABELS}
    losses = [sklearn.log_loss(LABELS[:, i], OUTPUTS[:, i].sigmoid().double()) for i in range(4)]
    assert task.loss(outputs, targets).item() == pytest.approx(sum(losses) / 4)
    predictions = task.predictions(outputs)["labels"]
    assert predictions.dtype == torch.bool
    sums = task.sums(outputs, targets, torch.tensor(1.0))
    right = 1 - sklearn.hamming_loss(LABELS.bool(), predictions)
    assert sums["correct"].item() / sums["count"].item() == pytest.approx(right)
    random = task.random_targets(outputs, None, torch.Generator().manual_seed(0))
    task.check_targets(random)
    assert task.value_bounds(outputs) == (0, 1, None)


def test_a_logit_near_zero_may_go_either_way() -> None:
    task, outputs = multi_label(), {"output": torch.tensor([[2.0, 0.0], [-1.0, 0.5]])}
    right = task.predictions(outputs)["labels"]
    assert task.prediction_error({"labels": right}, outputs) == 0
    flipped = right.clone()
    flipped[0, 1] = True
    assert task.prediction_error({"labels": flipped}, outputs) == 0
    flipped[1, 1] = False
    assert task.prediction_error({"labels": flipped}, outputs) == pytest.approx(0.25)


def test_one_label_without_a_dimension() -> None:
    task, outputs, targets = multi_label(), {"output": OUTPUTS[:, 0]}, {"targets": LABELS[:, 0]}
    right = ((OUTPUTS[:, 0] > 0) == (LABELS[:, 0] > 0.5)).sum()
    assert task.sums(outputs, targets, torch.tensor(1.0))["correct"].item() == right


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (torch.tensor([0, 1]), "mse needs float32 targets, the data's are int64; use --loss cross_entropy"),
        (torch.tensor([0.0, float("nan")]), "the train targets of sample 1 hold a NaN"),
        (torch.tensor([0.0, float("inf")]), "the train targets of sample 1 hold a NaN or infinite number"),
    ],
)
def test_wrong_numbers(targets: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        regression().check_targets({"targets": targets}, "train ")


@pytest.mark.parametrize(
    ("targets", "classes", "message"),
    [
        ([[0.0, 1.5]], None, "test sample 0 has the target 1.5; bce_with_logits needs 0 to 1"),
        ([[0.0, 1.0]], ("a", "b", "c"), "of a test sample have the shape 2, the model predicts 3 labels"),
    ],
)
@pytest.mark.promise("What is wrong with data is named, with file and place")
def test_wrong_labels(targets: list[list[float]], classes: tuple[str, ...] | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        multi_label(classes).check_targets({"targets": torch.tensor(targets)}, "test ")


def test_outputs() -> None:
    assert regression().output_count({"targets": VALUES}) == 4
    assert regression().output_count({"targets": VALUES[:, 0]}) == 1
    with pytest.raises(
        UsageError, match=r"\[B, 4\], but \[B\] is needed as the targets of the loss mse have it; use a model"
    ):
        regression().check_outputs({"output": OUTPUTS}, {"targets": VALUES[:, 0]}, 1)
    with pytest.raises(UsageError, match=r"\[B, 1\], but \[B\] is needed .* as targets\[\.\.\., None\]"):
        regression().check_outputs({"output": OUTPUTS[:, :1]}, {"targets": VALUES[:, 0]}, 1)
    regression().check_outputs({"output": OUTPUTS[:, :1]}, {"targets": VALUES[:, 0][..., None]}, 1)
