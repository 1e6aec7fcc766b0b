import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn
from torch.nn import functional

from edgetrain.artifacts.specs import TaskSpec
from edgetrain.errors import CheckFailedError, InputError, UsageError
from edgetrain.tasks.classification import Classification

OUTPUTS = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(0, 5, (40,), generator=torch.Generator().manual_seed(1))


def task(**spec: object) -> Classification:
    return Classification(
        TaskSpec.model_validate({"name": "classification", "loss": "cross_entropy", **spec})
    )


def test_loss() -> None:
    loss = task().loss({"output": OUTPUTS}, {"targets": LABELS})
    assert loss.item() == pytest.approx(
        sklearn.log_loss(LABELS, OUTPUTS.double().softmax(1), labels=range(5))
    )
    smoothed = task(label_smoothing=0.2).loss({"output": OUTPUTS}, {"targets": LABELS})
    expected = functional.cross_entropy(OUTPUTS, functional.one_hot(LABELS, 5) * 0.8 + 0.2 / 5)
    torch.testing.assert_close(smoothed, expected)


def test_predictions_and_sums() -> None:
    outputs, targets = {"output": OUTPUTS}, {"targets": LABELS}
    predictions = task().predictions(outputs)["class"]
    assert predictions.dtype == torch.int64
    assert (predictions.numpy() == np.argmax(OUTPUTS.numpy(), 1)).all()
    sums = task().sums(outputs, targets, torch.tensor(0.5))
    assert sums["correct"].item() / 40 == pytest.approx(sklearn.accuracy_score(LABELS, predictions))
    assert list(sums) == ["loss_sum", "count", "correct"]
    assert {(value.dtype, value.dim()) for value in sums.values()} == {(torch.float32, 0)}
    assert (sums["loss_sum"].item(), sums["count"].item()) == (20, 40)
    assert [metric.name for metric in task().all_metrics] == ["loss", "accuracy"]


@pytest.mark.parametrize(
    ("targets", "classes", "message"),
    [
        (
            [0.0, 1.0],
            None,
            r"needs class labels \(int64\), the data's targets are float32; use --loss mse, l1 or",
        ),
        ([[0], [1]], None, "needs one label per sample, the targets are 1 per sample"),
        ([0, -1], None, "train sample 1 has the label -1, but labels count from 0"),
        ([0, 2], ("a", "b"), r"sample 1 has the label 2, but the model has 2 classes \(labels 0 to 1\)"),
    ],
)
def test_wrong_targets(targets: list[float], classes: tuple[str, ...] | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        task(classes=classes).check_targets({"targets": torch.tensor(targets)}, "train ")


def test_several_targets() -> None:
    targets = {"a": LABELS, "b": LABELS}
    with pytest.raises(
        UsageError, match="one target per sample, the data has a, b; choose one with --targets"
    ):
        task().check_targets(targets)


def test_outputs() -> None:
    assert task().output_count({"targets": LABELS}) == 5
    assert task(classes=("a",) * 7).output_count({"targets": LABELS}) == 7
    # A batch need not hold all classes: the count is that of the whole data set.
    task().check_outputs({"output": OUTPUTS[:2]}, {"targets": torch.tensor([0, 1])}, 5)
    with pytest.raises(UsageError, match=r"have the shape \[B, 5\], but \[B, 6\] is needed for 6 classes"):
        task().check_outputs({"output": OUTPUTS}, {"targets": LABELS}, 6)


def test_verification() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = task().random_targets({"output": OUTPUTS}, None, generator)
    task(classes=tuple("abcde")).check_targets(targets)
    assert list(targets) == ["targets"]
    assert task().value_bounds({"output": OUTPUTS}) == (0, 4, None)
    with pytest.raises(
        CheckFailedError, match=r"needs outputs \[B, classes\], the model gives \[40\]; say .*--task"
    ):
        task().random_targets({"output": OUTPUTS[:, 0]}, None, generator)


def test_a_tie_is_no_error() -> None:
    outputs = {"output": torch.tensor([[1.0, 2.0, 2.0], [0.0, -4.0, 0.5]])}
    found = {"class": torch.tensor([2, 2])}
    assert task().prediction_error(found, outputs) == 0
    assert task().prediction_error({"class": torch.tensor([0, 2])}, outputs) == pytest.approx(1 / 4)
    assert task().prediction_error({"class": torch.tensor([3, 2])}, outputs) == float("inf")
