"""Segmentation, token classification and next tokens against scikit-learn, with labels that don't count."""

import math
from typing import Any

import pytest
import torch
from sklearn import metrics as sklearn
from torch import Tensor
from torch.nn import functional

from edgetrain.artifacts.specs import TaskSpec
from edgetrain.engine.metrics import Meter
from edgetrain.errors import CheckFailedError, InputError, UsageError
from edgetrain.tasks.dense import DenseTask
from edgetrain.tasks.next_token import NextToken
from edgetrain.tasks.segmentation import Segmentation
from edgetrain.tasks.token_classification import TokenClassification

KINDS = {"segmentation": Segmentation, "token-classification": TokenClassification, "next-token": NextToken}
CLASSES = 4


def make(name: str, **spec: Any) -> DenseTask:
    ignored = KINDS[name].usual_ignored
    values = {"name": name, "loss": "cross_entropy", "ignore_index": ignored, **spec}
    return KINDS[name](TaskSpec.model_validate(values))


def random(task: DenseTask, seed: int = 0, share_ignored: float = 0.3) -> tuple[Tensor, Tensor]:
    """Outputs and targets of 3 samples; class 3 never occurs and is never predicted."""
    generator = torch.Generator().manual_seed(seed)
    shape = (3, 5, 6) if task.output_dims == 4 else (3, 7)
    outputs = torch.randn(*shape, CLASSES, generator=generator)
    outputs[..., 3] = -9
    targets = torch.randint(0, 3, shape, generator=generator)
    targets[torch.rand(shape, generator=generator) < share_ignored] = task.spec.ignore_index
    return outputs.movedim(-1, task.class_dim), targets


def counted(task: DenseTask, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Flat outputs [N, K], labels [N] and predictions [N] of what counts."""
    kept = targets.flatten() != task.spec.ignore_index
    flat = outputs.movedim(task.class_dim, -1).flatten(0, -2)[kept]
    return flat, targets.flatten()[kept], flat.argmax(1)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_leaves_ignored_labels_out(name: str, smoothing: float) -> None:
    task = make(name, label_smoothing=smoothing)
    outputs, targets = random(task)
    outputs.requires_grad_()
    loss = task.loss({"output": outputs}, {"targets": targets})
    flat, labels, _ = counted(task, outputs, targets)
    expected = functional.cross_entropy(flat, labels, label_smoothing=smoothing)
    torch.testing.assert_close(loss, expected)
    gradients = [torch.autograd.grad(value, outputs)[0] for value in (loss, expected)]
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("name", KINDS)
def test_metrics_of_a_whole_data_set(name: str) -> None:
    """Two batches through the meter are what scikit-learn says of all of them together."""
    task, meter, parts = make(name), Meter(), []
    for seed in (0, 1):
        outputs, targets = random(task, seed)
        named = {"output": outputs}, {"targets": targets}
        sums = task.sums(*named, task.loss(*named))
        assert {value.dtype for value in sums.values()} == {torch.float32}
        meter.add(sums, len(targets))
        parts.append(counted(task, outputs, targets))
    scores, labels, predictions = (torch.cat(column) for column in zip(*parts, strict=True))
    figures = meter.figures(task.all_metrics)
    loss = sklearn.log_loss(labels, scores.double().softmax(1), labels=range(CLASSES))
    assert figures["loss"] == pytest.approx(loss, rel=1e-5)
    accuracy = sklearn.accuracy_score(labels, predictions)
    if name == "segmentation":
        assert figures["pixel_accuracy"] == pytest.approx(accuracy)
        iou = sklearn.jaccard_score(labels, predictions, average="macro")
        assert figures["mean_iou"] == pytest.approx(iou)
    else:
        assert figures["token_accuracy"] == pytest.approx(accuracy)
    if name == "next-token":
        assert figures["perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_a_batch_in_which_nothing_counts(name: str) -> None:
    task = make(name)
    outputs, targets = random(task, share_ignored=1.1)
    outputs.requires_grad_()
    loss = task.loss({"output": outputs}, {"targets": targets})
    loss.backward()
    assert loss.item() == 0
    assert outputs.grad is not None
    assert not outputs.grad.any()
    sums = task.sums({"output": outputs.detach()}, {"targets": targets}, loss.detach())
    assert not any(value.any() for value in sums.values())
    task.check_targets({"targets": targets})


@pytest.mark.parametrize("name", KINDS)
def test_predictions_and_their_error(name: str) -> None:
    task = make(name)
    outputs, targets = random(task)
    found = task.predictions({"output": outputs})[task.prediction]
    assert (found.dtype, found.shape) == (torch.int64, targets.shape)
    assert task.prediction_error({task.prediction: found}, {"output": outputs}) == 0
    found.flatten()[0] = 3
    expected = (outputs.amax(task.class_dim).flatten()[0] + 9) / 9
    error = task.prediction_error({task.prediction: found}, {"output": outputs})
    assert error == pytest.approx(expected.item())


@pytest.mark.parametrize("name", KINDS)
def test_random_targets_are_such_as_the_data_may_hold(name: str) -> None:
    task = make(name, classes=tuple("abcd"))
    outputs, targets = random(task)
    made = task.random_targets({"output": outputs}, None, torch.Generator().manual_seed(3))["targets"]
    assert made.shape == targets.shape
    task.check_targets({"targets": made})
    assert (made == task.spec.ignore_index).any()
    assert task.value_bounds({"output": outputs}) == (0, 3, task.spec.ignore_index)
    with pytest.raises(
        CheckFailedError, match=f"of {task.output_dims} dimensions, .*; say what it learns: --task"
    ):
        task.random_targets({"output": outputs[0]}, None, torch.Generator())


@pytest.mark.parametrize("name", KINDS)
def test_wrong_targets(name: str) -> None:
    task = make(name, classes=("a", "b"))
    _, targets = random(task, share_ignored=0)
    with pytest.raises(InputError, match=f"the task {name} needs one label per"):
        task.check_targets({"targets": targets[:, 0]})
    with pytest.raises(InputError, match=f"the task {name} needs class labels"):
        task.check_targets({"targets": targets.float()})
    with pytest.raises(InputError, match=r"sample 0 has the label 2, but the model has 2 classes"):
        task.check_targets({"targets": targets.clamp(min=2)})


@pytest.mark.parametrize("name", KINDS)
def test_wrong_outputs(name: str) -> None:
    task = make(name)
    outputs, targets = random(task)
    assert task.output_count({"targets": targets}) == 3
    task.check_outputs({"output": outputs}, {"targets": targets}, CLASSES)
    with pytest.raises(UsageError, match=f"is needed for the task {name}"):
        task.check_outputs({"output": outputs}, {"targets": targets}, 5)


def test_pixels_by_the_shapes_of_a_message() -> None:
    outputs, targets = random(make("segmentation"))
    with pytest.raises(UsageError, match=r"shape \[B, 4, 5, 6\], but \[B, 5, 5, 6\] is needed"):
        make("segmentation").check_outputs({"output": outputs}, {"targets": targets}, 5)
