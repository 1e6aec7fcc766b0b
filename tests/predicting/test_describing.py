"""What outputs of each kind of task mean."""

from __future__ import annotations

import pytest
import torch

from edgetrain.artifacts.specs import TaskSpec
from edgetrain.predicting.confusion import Confusion
from edgetrain.predicting.describing import describer_for
from edgetrain.tasks import make_task


def described(task, output, target=None, top=3):
    outputs = {"output": output}
    targets = None if target is None else {"targets": target}
    return describer_for(task, outputs, top).describe(outputs, targets)


def test_pixels():
    spec = TaskSpec(name="segmentation", loss="cross_entropy", ignore_index=255, classes=("sky", "road"))
    labels = torch.tensor([[[0, 1], [1, 1]]])
    output = torch.nn.functional.one_hot(labels, 2).permute(0, 3, 1, 2).float()
    target = torch.tensor([[[0, 0], [1, 255]]])
    task = make_task(spec)
    (found,) = described(task, output, target)
    assert found.values["shares"] == {"road": 0.75, "sky": 0.25}
    assert found.values["right"] == pytest.approx(2 / 3)
    assert found.cells == ("road 75.0 %, sky 25.0 %", "66.7 %")
    confusion = Confusion(task)
    confusion.add({"output": output}, {"targets": target})
    confusion.add({"output": output}, {"targets": target})
    assert confusion.counts.tolist() == [[2, 2], [0, 2]]


def test_tokens():
    spec = TaskSpec(name="token-classification", loss="cross_entropy", ignore_index=-100)
    labels = torch.arange(40).view(1, 40) % 3
    output = torch.nn.functional.one_hot(labels, 3).float()
    (found,) = described(make_task(spec), output, torch.full((1, 40), -100))
    assert found.values["classes"] == [str(int(label)) for label in labels[0]]
    assert found.cells[0].endswith(" 0 1 2 0 ...")
    assert found.cells[1] == "–"


def test_several_labels():
    spec = TaskSpec(name="multi-label", loss="bce_with_logits", classes=("cat", "dog", "cow"))
    output = torch.tensor([[2.0, -1.0, 0.5], [-1.0, -1.0, -1.0]])
    first, second = described(make_task(spec), output, torch.tensor([[1.0, 0, 0], [0, 0, 0]]))
    assert first.values["labels"] == ["cat", "cow"]
    assert first.values["known"] == ["cat"]
    assert first.values["scores"]["dog"] == pytest.approx(1 / (1 + 2.718281828**1))
    assert (first.cells, second.cells) == (("cat 88.1 %, cow 62.2 %", "cat"), ("none", "none"))


def test_numbers():
    task = make_task(TaskSpec(name="regression", loss="mse"))
    (found,) = described(task, torch.tensor([[1.5, -2.0]]))
    assert (found.values, found.cells[0]) == ({"output": [1.5, -2.0]}, "1.5, -2")
    (found,) = described(task, torch.arange(2048.0).view(1, 32, 64))
    assert found.values == {"output": {"least": 0, "mean": 1023.5, "largest": 2047}}
    assert found.cells[0] == "32x64 numbers from 0 to 2047, mean 1024"
