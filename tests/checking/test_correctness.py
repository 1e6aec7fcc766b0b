"""What is compared, and what is found: eager PyTorch plays a runtime, and is wrong where it is told to be."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from edgetrain.artifacts.specs import INPUTS, TARGETS, TaskSpec
from edgetrain.checking.correctness import Case, Judge, cases_of, group_of
from edgetrain.config.optimizer import OptimizerConfig
from edgetrain.errors import CheckFailedError
from edgetrain.export.batches import Batch
from edgetrain.runtimes.eager_steps import EagerSteps
from edgetrain.runtimes.steps import Steps
from edgetrain.tasks import make_task

Sabotage = Callable[[Steps], None]
drawn: list[int] = []


def make_batch(draw: int, size: int) -> Batch:
    drawn.append(draw)
    generator = torch.Generator().manual_seed(draw)
    return Batch(
        {INPUTS: torch.randn(size, 6, generator=generator)},
        {TARGETS: torch.randint(0, 3, (size,), generator=generator)},
    )


def compare(sabotage: Sabotage, model: nn.Module | None = None) -> Any:
    torch.manual_seed(0)
    model = model or nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    task = make_task(TaskSpec(name="classification", loss="cross_entropy"))
    eager = EagerSteps(model, task, "frozen", OptimizerConfig(lr=0.01))

    def run(inputs: Any, targets: Any, steps: int, optimizer: OptimizerConfig) -> Steps:
        found = eager.run(inputs, targets, steps)
        sabotage(found)
        return found

    drawn.clear()
    (report,) = Judge(eager, make_batch, 1e-4).compare(Case(4, 5), [("native", "fast", run)])
    return report


def scale(name: str, factor: float) -> Sabotage:
    def sabotage(found: Steps) -> None:
        found.quantities[name] = found.quantities[name] * factor

    return sabotage


def test_what_is_right() -> None:
    report = compare(lambda found: None)
    assert report.right
    assert drawn == [0]
    assert set(report.groups["gradients"]) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    for found in report.groups["gradients"].values():
        assert found.from_float32 == 0
        assert 0 < found.error == pytest.approx(found.own, rel=2), "eager float32 is its own error"
        assert found.error < 1e-6
        assert found.allowed == 1e-4
    assert report.groups["steps"]["change of 0.bias"].allowed == 1e-3


@pytest.mark.parametrize(
    ("group", "name"),
    [
        ("loss", "loss of step 1"),
        ("loss", "sum of loss_sum in train"),
        ("gradients", "gradient of 0.weight"),
        ("steps", "loss of step 5"),
        ("steps", "change of 2.bias"),
        ("predict", "loss of evaluate"),
        ("predict", "predict of output"),
    ],
)
@pytest.mark.parametrize("factor", [1.002, math.nan], ids=["little", "nan"])
def test_what_is_wrong_is_named(group: Any, name: str, factor: float) -> None:
    report = compare(scale(name, factor))
    assert not report.right
    worst, found = report.worst(group)
    assert worst == name.removeprefix("gradient of ")
    assert not found.right
    assert [g for g in report.groups if not all(c.right for c in report.groups[g].values())] == [group]
    assert drawn == [0], "such a batch says enough"


def test_steps_may_drift_apart_ten_times_as_far() -> None:
    assert compare(scale("change of 0.weight", 1.0005)).right


def test_a_kink_is_looked_at_again() -> None:
    """An input of a ReLU that is 0 but for rounding; a runtime may go the other way."""
    torch.manual_seed(0)
    first = nn.Linear(6, 4)
    inputs = make_batch(0, 4).inputs[INPUTS]
    with torch.no_grad():
        first.bias[0] = -(inputs[0] @ first.weight[0])

    def flip(found: Steps) -> None:
        if drawn == [0]:
            found.quantities["gradient of 0.bias"][0] += 100.0

    assert compare(flip, nn.Sequential(first, nn.ReLU(), nn.Linear(4, 3))).right
    assert drawn == [0, 1]


def test_a_model_without_numbers_is_not_called_wrong() -> None:
    with pytest.raises(
        CheckFailedError, match=r"loss of step 1 is not finite in PyTorch either.*--learning-rate"
    ):
        compare(lambda found: None, nn.Sequential(nn.Linear(6, 3), Overflow()))


class Overflow(nn.Module):
    """What it returns is too large for float32."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 3e38 * 10


def test_sizes() -> None:
    assert list(cases_of(4, "frozen", 5)) == [Case(1, 1), Case(3, 1), Case(4, 5)]
    assert list(cases_of(1, "frozen", 5)) == [Case(1, 5)]
    assert list(cases_of(4, "train", 5)) == [Case(2, 1), Case(3, 1), Case(4, 5)]
    assert group_of("sum of correct in evaluate") == "predict"


class Named(nn.Module):
    """It names its dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.to(torch.float32))


@pytest.mark.parametrize(("model", "alone"), [(nn.Linear(6, 3), False), (Named(), True)])
def test_a_model_that_runs_in_float32_alone_is_told(model: nn.Module, alone: bool) -> None:
    task = make_task(TaskSpec(name="classification", loss="cross_entropy"))
    eager = EagerSteps(model, task, "frozen", OptimizerConfig(lr=0.01))
    judge = Judge(eager, make_batch, 1e-4)
    judge.compare(
        Case(4, 1), [("native", "fast", lambda inputs, targets, steps, _: eager.run(inputs, targets, steps))]
    )
    assert judge.float32_alone == alone
