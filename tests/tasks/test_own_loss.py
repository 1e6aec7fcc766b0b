"""`package.module:factory` as a loss: of a task, and of none."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from edgetrain.artifacts.specs import TaskSpec, TensorSpec
from edgetrain.config.model import LossConfig, TaskConfig
from edgetrain.errors import CheckFailedError, InputError, UsageError
from edgetrain.tasks import Task, choose_task

CODE = """
import torch
from torch import nn
from torch.nn import functional

class Focal(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("weights", torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, outputs, targets):
        scores = functional.log_softmax(outputs, 1).gather(1, targets.unsqueeze(1)).squeeze(1)
        return (-scores * (1 - scores.exp()) ** 2 * self.weights[targets]).mean()

class Pair(nn.Module):
    def forward(self, outputs, targets):
        return (outputs["a"] - targets["x"]).square().mean() + (outputs["b"] - targets["y"]).abs().mean()

    def random_targets(self, outputs, generator):
        return {"x": torch.rand(outputs["a"].shape, generator=generator), "y": outputs["b"] + 1}

class PerSample(nn.Module):
    def forward(self, outputs, targets):
        return (outputs - targets).square().mean(1)

class Trained(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

def broken():
    raise KeyError("no such loss")

def wrong():
    return 5
"""


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "edgetrain_user_losses.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)


def make(factory: str, task: str = "auto", **options: object) -> Task:
    loss = LossConfig(name=f"edgetrain_user_losses:{factory}")
    return choose_task(TaskConfig(name=task), loss, None, **options)  # type: ignore[arg-type]


def test_by_itself_it_has_a_loss_and_no_other_metric() -> None:
    task = make("Pair")
    outputs = {"a": torch.ones(4, 2), "b": torch.zeros(4)}
    targets = {"x": torch.zeros(4, 2), "y": torch.full((4,), 0.5)}
    assert task.spec == TaskSpec(name="custom", loss="edgetrain_user_losses:Pair")
    loss = task.loss(outputs, targets)
    assert loss.item() == 1.5
    task.check_targets(targets)
    task.check_outputs(outputs, targets, 1)
    assert {n: s.item() for n, s in task.sums(outputs, targets, loss).items()} == {"loss_sum": 6, "count": 4}
    assert task.predictions(outputs) == {}
    assert [metric.name for metric in task.all_metrics] == ["loss"]
    made = task.random_targets(outputs, None, torch.Generator().manual_seed(0))
    assert {name: tuple(tensor.shape) for name, tensor in made.items()} == {"x": (4, 2), "y": (4,)}


def test_with_a_task_it_keeps_the_rest_of_it() -> None:
    task = make("Focal", "classification", classes=("a", "b", "c"))
    outputs, targets = {"output": torch.randn(8, 3)}, {"targets": torch.arange(8) % 3}
    assert task.spec.name == "classification"
    assert list(task.predictions(outputs)) == ["class"]
    loss = task.loss(outputs, targets)
    assert set(task.sums(outputs, targets, loss)) == {"loss_sum", "count", "correct"}
    task.check_outputs(outputs, targets, 3)
    with pytest.raises(InputError, match="sample 0 has the label 3"):
        task.check_targets({"targets": torch.tensor([3])})
    made = task.random_targets(outputs, None, torch.Generator().manual_seed(0))
    assert made["targets"].dtype == torch.int64


def test_buffers_follow_to_the_device() -> None:
    task = make("Focal")
    task.to(torch.device("meta"))
    assert task.own_loss is not None
    assert {buffer.device.type for buffer in task.own_loss.module.buffers()} == {"meta"}


def test_random_targets_like_those_of_the_data() -> None:
    task = make("PerSample")
    specs = {"value": TensorSpec(shape=(2,)), "label": TensorSpec(shape=(), dtype="int64")}
    made = task.random_targets({"output": torch.zeros(5, 2)}, specs, torch.Generator().manual_seed(0))
    assert {name: (tuple(t.shape), t.dtype) for name, t in made.items()} == {
        "value": ((5, 2), torch.float32),
        "label": ((5,), torch.int64),
    }
    with pytest.raises(
        CheckFailedError, match=r"give its module a method random_targets\(outputs, generator\)"
    ):
        task.random_targets({"output": torch.zeros(5, 2)}, None, torch.Generator())


@pytest.mark.parametrize(
    ("targets", "expected"),
    [(torch.tensor([0, 4]), 5), (torch.zeros(3), 1), (torch.zeros(3, 2, 2), 4)],
)
def test_outputs_that_the_targets_suggest(targets: Tensor, expected: int) -> None:
    assert make("PerSample").output_count({"targets": targets}) == expected


def test_numbers_must_be_finite() -> None:
    targets = {"x": torch.zeros(2), "y": torch.tensor([0.0, float("nan")])}
    with pytest.raises(InputError, match="train sample 1 has a NaN or infinite number in y"):
        make("Pair").check_targets(targets, "train ")


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("broken", "edgetrain_user_losses:broken failed with KeyError: 'no such loss'"),
        ("wrong", "must return a torch.nn.Module, but returned int"),
        ("Trained", "has parameters, which nothing would train; make them buffers"),
        ("missing", "has no function or class 'missing'"),
    ],
)
def test_what_is_no_loss(factory: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make(factory)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (torch.zeros(4, 3), r"must return a float32 scalar, but returned torch.float32 \[4\]"),
        (torch.zeros(4, 2), "fails on a batch: The size of tensor a"),
    ],
)
def test_a_batch_is_tried(outputs: Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make("PerSample").check_outputs({"output": outputs}, {"targets": torch.zeros(4, 3)}, 3)
