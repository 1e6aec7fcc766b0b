import pytest
import torch
from torch.nn import functional

from edgetrain.artifacts.specs import Task
from edgetrain.engine.losses import make_loss, predict_from_logits

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [-3.0, 0.25, 1.0]])
LABELS = torch.tensor([0, 1])
VALUES = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])


@pytest.mark.parametrize(
    ("task", "targets", "expected"),
    [
        (Task(), LABELS, functional.cross_entropy(LOGITS, LABELS)),
        (Task(label_smoothing=0.1), LABELS, functional.cross_entropy(LOGITS, LABELS, label_smoothing=0.1)),
        (Task(loss="mse"), VALUES, ((LOGITS - VALUES) ** 2).mean()),
        (Task(loss="l1"), VALUES, (LOGITS - VALUES).abs().mean()),
        (Task(loss="bce_with_logits"), VALUES, functional.binary_cross_entropy(LOGITS.sigmoid(), VALUES)),
    ],
)
def test_loss_is_torchs(task: Task, targets: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(make_loss(task)(LOGITS, targets), expected)


def test_predictions() -> None:
    classes = predict_from_logits(Task(), LOGITS)
    assert classes.dtype == torch.int64
    assert classes.tolist() == [0, 2]
    labels = predict_from_logits(Task(loss="bce_with_logits"), LOGITS)
    assert labels.tolist() == [[True, False, True], [False, True, True]]
    assert predict_from_logits(Task(loss="mse"), LOGITS) is LOGITS


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "l1", "bce_with_logits"])
def test_loss_and_prediction_can_be_captured(loss: str) -> None:
    task = Task(loss=loss)

    class Head(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.loss = make_loss(task)

        def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.loss(logits, targets), predict_from_logits(task, logits)

    inputs = (LOGITS, LABELS if loss == "cross_entropy" else VALUES)
    batch = torch.export.Dim("batch", min=1, max=8)
    shapes = ({0: batch}, {0: batch})
    captured = torch.export.export(Head(), inputs, dynamic_shapes=shapes).module()(*inputs)
    for got, expected in zip(captured, Head()(*inputs), strict=True):
        torch.testing.assert_close(got, expected)
