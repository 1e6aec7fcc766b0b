"""The gate itself: what a wrong program could do, and that each of it is found."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from edgetrain.artifacts.specs import INPUTS, TARGETS, TaskSpec
from edgetrain.config.optimizer import OptimizerConfig
from edgetrain.engine.comparison import Truth
from edgetrain.engine.modes import BatchNormMode
from edgetrain.errors import CheckFailedError
from edgetrain.export import verification
from edgetrain.export.batches import Batch
from edgetrain.export.verification import as_float64, compare
from edgetrain.runtimes.eager_steps import EagerSteps
from edgetrain.runtimes.steps import Steps
from edgetrain.tasks import Task, make_task

Sabotage = Callable[[Steps, int], None]
# What `run_gate` last had run: whose kernels, samples, steps.
ran: list[tuple[str, int, int]] = []


def deep_model() -> nn.Module:
    """Sigmoids, so that the first layer's gradients are thousands of times smaller than the last one's."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(5):
        layers += [nn.Linear(6, 6), nn.Sigmoid()]
    return nn.Sequential(*layers, nn.Linear(6, 3))


def eager_task() -> Task:
    return make_task(TaskSpec(name="classification", loss="cross_entropy", classes=tuple("abc")))


def make_batch(draw: int, size: int) -> Batch:
    generator = torch.Generator().manual_seed(draw)
    return Batch(
        {INPUTS: torch.randn(size, 6, generator=generator)},
        {TARGETS: torch.randint(0, 3, (size,), generator=generator)},
    )


def run_gate(
    monkeypatch: pytest.MonkeyPatch,
    sabotage: Sabotage,
    model: nn.Module | None = None,
    kernels: str = "stock",
    seconds: Callable[[str], float] = lambda whose: 0.0,
    batch_norm: BatchNormMode = "frozen",
) -> Any:
    """Verifies a "program" that is eager PyTorch itself, except for what `sabotage` does to its results.

    Args:
        kernels: those that are wrong; edgetrain's are installed if it is these.
        seconds: that a step takes for each sample in some kernels.
    """
    model = model or deep_model()
    task = eager_task()
    eager = EagerSteps(model, task, batch_norm, OptimizerConfig(lr=0.01))

    class Device:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def __enter__(self) -> Device:
            return self

        def __exit__(self, *_: Any) -> None:
            pass

        def begin(
            self, method: str, whose: str, inputs: Any, targets: Any, steps: int, optimizer: Any
        ) -> None:
            assert (method, optimizer) == ("run", eager.optimizer)
            batch = Batch(inputs, targets)
            found = eager.run(inputs, targets, steps)
            found.predictions = {m: task.predictions(outputs) for m, outputs in found.outputs.items()}
            found.outputs = {}
            found.seconds = seconds(whose) * len(batch)
            ran.append((whose, len(batch), steps))
            if whose == kernels:
                sabotage(found, len(batch))
            self.found = found

        def answer(self) -> Steps:
            return self.found

    monkeypatch.setattr(verification, "Child", Device)
    monkeypatch.setattr(
        verification, "find_kernels", lambda: Path("kernels.so") if kernels == "fast" else None
    )
    contract = SimpleNamespace(max_batch_size=16, optimizer=None, splits_batches=False)
    manifest = SimpleNamespace(batch_norm=batch_norm, own_operators=[], contract=contract)
    program: Any = SimpleNamespace(manifest=manifest)
    ran.clear()
    return compare(program, model, task, make_batch, 1e-4)


def test_a_right_program_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run_gate(monkeypatch, lambda outcome, size: None)
    assert found.batch_sizes == [3, 1, 16]
    assert found.sensitivity is None
    assert max(found.loss, found.gradients, found.weights_after_steps, found.predictions, found.metrics) == 0
    assert found.kernels == ["stock"]
    assert run_gate(monkeypatch, lambda outcome, size: None, kernels="fast").kernels == ["stock", "fast"]


def test_slow_kernels_run_little_where_others_run_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a single sample, still: its loss, gradients, three steps, and what follows."""

    def slow(whose: str) -> float:
        return 6.0 if whose == "stock" else 0.01

    found = run_gate(monkeypatch, lambda outcome, size: None, kernels="fast", seconds=slow)
    assert ran == [("stock", 1, 3), ("fast", 1, 3), ("fast", 3, 3), ("fast", 16, 1)]
    assert (found.batch_sizes, found.stock_batch_sizes) == ([3, 1, 16], [1])
    # What takes a second they run.
    found = run_gate(monkeypatch, lambda outcome, size: None, kernels="fast", seconds=lambda whose: 0.08)
    assert ran[:2] == [("stock", 1, 3), ("stock", 3, 3)]
    assert ("stock", 16, 1) not in ran
    assert (found.batch_sizes, found.stock_batch_sizes) == ([3, 1, 16], [1, 3])
    # Where there are no others, they run as much as is affordable.
    found = run_gate(monkeypatch, lambda outcome, size: None, seconds=slow)
    assert ran == [("stock", 1, 3), ("stock", 3, 3), ("stock", 10, 1)]
    assert (found.batch_sizes, found.stock_batch_sizes) == ([3, 1, 10], None)
    with pytest.raises(CheckFailedError, match="in edgetrain's kernels, differs"):
        run_gate(monkeypatch, scale("loss of step 1", 1.5, sizes=(16,)), kernels="fast", seconds=slow)


def test_slow_kernels_take_one_step_where_batch_norm_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(whose: str) -> float:
        return 6.0 if whose == "stock" else 0.01

    found = run_gate(
        monkeypatch, lambda outcome, size: None, kernels="fast", seconds=slow, batch_norm="train"
    )
    assert ran == [("stock", 8, 1), ("fast", 8, 3), ("fast", 16, 1)]
    assert (found.batch_sizes, found.stock_batch_sizes) == ([8, 16], [8])
    with pytest.raises(CheckFailedError, match="loss of step 3"):
        run_gate(monkeypatch, scale("loss of step 3", 1.5, (8,)), kernels="fast", batch_norm="train")


def scale(name: str, factor: float, sizes: tuple[int, ...] = (1, 3, 16)) -> Sabotage:
    def sabotage(outcome: Steps, size: int) -> None:
        if size in sizes and name in outcome.quantities:
            outcome.quantities[name] = outcome.quantities[name] * factor

    return sabotage


def other_class(method: str) -> Sabotage:
    def sabotage(outcome: Steps, size: int) -> None:
        found = outcome.predictions[method]
        outcome.predictions[method] = {name: (classes + 1) % 3 for name, classes in found.items()}

    return sabotage


@pytest.mark.parametrize(
    ("sabotage", "named"),
    [
        (scale("loss of step 1", 1.001), "loss of step 1"),
        (scale("loss of step 2", math.nan), "loss of step 2"),
        (scale("gradient of 10.weight", 1.001), r"gradient of 10\.weight \(1\.0e-03\)"),
        (scale("gradient of 0.weight", -1), r"gradient of 0\.weight \(2\.0e\+00\)"),
        (scale("gradient of 0.weight", 1.001), r"gradient of 0\.weight"),
        (scale("gradient of 4.bias", math.nan), r"gradient of 4\.bias \(nan\)"),
        (scale("change of 2.bias", 0.0), r"change of 2\.bias"),
        (scale("predict of output", 1.01), r"predict of output \(1"),
        (scale("sum of correct in train", 2.0), "sum of correct in train"),
        (scale("sum of loss_sum in evaluate", 1.01), "sum of loss_sum in evaluate"),
        (scale("loss of evaluate", 2.0), "loss of evaluate"),
        (scale("loss of step 1", 1.5, sizes=(16,)), "loss of step 1"),
        (scale("gradient of 10.bias", 1.5, sizes=(1,)), r"gradient of 10\.bias"),
        (other_class("train"), "predictions of train"),
        (other_class("evaluate"), "predictions of evaluate"),
    ],
)
def test_wrong_programs_are_refused(monkeypatch: pytest.MonkeyPatch, sabotage: Sabotage, named: str) -> None:
    with pytest.raises(CheckFailedError, match=named):
        run_gate(monkeypatch, sabotage)


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("loss of step 3", "loss"),
        ("gradient of 0.weight", "gradients"),
        ("change of 0.weight", "weights_after_steps"),
        ("predict of output", "predict_after_steps"),
        ("sum of count in evaluate", "metrics"),
    ],
)
def test_errors_are_told(monkeypatch: pytest.MonkeyPatch, name: str, figure: str) -> None:
    found = run_gate(monkeypatch, scale(name, 1 + 5e-5))
    assert getattr(found, figure) == pytest.approx(5e-5, rel=0.05)


def test_wrong_kernels_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = scale("gradient of 0.weight", 1.01)
    with pytest.raises(CheckFailedError, match="in edgetrain's kernels, differs from PyTorch"):
        run_gate(monkeypatch, wrong, kernels="fast")
    with pytest.raises(CheckFailedError, match="in ExecuTorch's own kernels, differs from PyTorch"):
        run_gate(monkeypatch, wrong)


def test_a_small_loss_is_known_no_finer_than_its_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a sample that the model is sure of, the loss is log(1 + s) with a small s: it has few digits."""
    model = nn.Linear(6, 3)
    batch = make_batch(0, 1)
    with torch.no_grad():
        model.weight.mul_(0.1)
        model.bias.zero_()
        model.bias[batch.targets[TARGETS]] = 10.0

    def round_up(outcome: Steps, size: int) -> None:
        if size == 1:
            outcome.quantities["loss of evaluate"] = outcome.quantities["loss of evaluate"] + 1.2e-7

    expected = EagerSteps(model, eager_task(), "frozen", OptimizerConfig(lr=0.01)).run(
        batch.inputs, batch.targets, 3
    )
    loss = expected.quantities["loss of evaluate"].item()
    assert loss < 2e-4
    # One step of float32 near 1 is more than the tolerance of such a loss.
    assert 1.2e-7 / loss > 5e-4
    assert run_gate(monkeypatch, round_up, model).loss <= 1e-4
    with pytest.raises(CheckFailedError, match="loss of evaluate"):
        run_gate(monkeypatch, scale("loss of evaluate", 1.1, sizes=(1,)), model)


def test_a_kink_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An input of a ReLU that is 0 but for rounding: the gradient may go either way."""
    torch.manual_seed(0)
    first = nn.Linear(6, 4)
    model = nn.Sequential(first, nn.ReLU(), nn.Linear(4, 3))
    inputs = make_batch(0, 1).inputs[INPUTS]
    with torch.no_grad():
        first.bias[0] = -(inputs[0] @ first.weight[0])

    def flip(outcome: Steps, size: int) -> None:
        """What a runtime that rounds the other way could give on that batch, and only there."""
        if not seen:
            outcome.quantities["gradient of 0.bias"][0] += 0.5
        seen.append(size)

    seen: list[int] = []
    found = run_gate(monkeypatch, flip, model)
    assert seen == [1, 1, 3, 16], "the first batch was replaced by another"
    assert found.gradients <= 1e-4


def test_one_kink_among_many_samples_is_enough_to_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly every large batch has a sample at a kink, so that no other is looked for; what moves further
    than the kink allows is wrong all the same."""
    torch.manual_seed(0)
    first = nn.Linear(6, 4)
    model = nn.Sequential(first, nn.ReLU(), nn.Linear(4, 3))
    with torch.no_grad():
        first.bias[0] = -(make_batch(0, 16).inputs[INPUTS][5] @ first.weight[0])
    seen: list[int] = []

    def move(outcome: Steps, size: int) -> None:
        seen.append(size)
        if size == 16:
            outcome.quantities["gradient of 0.bias"] *= 1 + by

    by = 5e-4
    found = run_gate(monkeypatch, move, model)
    assert seen == [1, 3, 16]
    assert found.sensitivity is None
    by = 0.3
    with pytest.raises(CheckFailedError, match=r"gradient of 0\.bias"):
        run_gate(monkeypatch, move, model)


def test_what_float64_gives_is_right_wherever_eager_went() -> None:
    one = torch.ones(3)
    truths = {name: Truth(one.double(), own=0.5) for name in ("gradient of a", "change of a")}
    found = Steps(quantities={"gradient of a": one * (1 + 1e-5), "change of a": one * 1.2})
    assert as_float64(found, truths, 1e-4)
    found.quantities["gradient of a"] = one * 1.001
    assert not as_float64(found, truths, 1e-4)


def normalised_model() -> nn.Module:
    """A bias in front of a normalisation, whose gradient is zero but for rounding."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3), nn.InstanceNorm1d(4), nn.Flatten(), nn.Linear(16, 3)
    )


def shift(name: str, by: float) -> Sabotage:
    def sabotage(outcome: Steps, size: int) -> None:
        outcome.quantities[name] = outcome.quantities[name] + by

    return sabotage


def test_a_gradient_that_is_zero_but_for_rounding_is_compared_with_its_terms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = normalised_model()
    batch = make_batch(0, 3)
    expected = EagerSteps(model, eager_task(), "frozen", OptimizerConfig(lr=0.01)).run(
        batch.inputs, batch.targets, 3
    )
    of_bias, of_weight = (expected.quantities[f"gradient of 1.{name}"] for name in ("bias", "weight"))
    assert of_bias.norm() < 1e-6 * of_weight.norm()
    # Another rounding, a hundred times as large as what is expected.
    rounding = 100 * of_bias.abs().max().item()
    for name in ("gradient of 1.bias", "change of 1.bias"):
        found = run_gate(monkeypatch, shift(name, rounding if "gradient" in name else 0.01 * rounding), model)
        assert (found.gradients or 0.0) <= 1e-4
        assert found.sensitivity is None, "it is no reason to mistrust the model"


@pytest.mark.parametrize("size", [(1,), (3,), (16,)], ids=str)
def test_a_wrong_gradient_is_caught_where_it_should_be_zero(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, ...]
) -> None:
    """One of a hundredth of what the layer's other gradient is."""

    def wrong(outcome: Steps, found: int) -> None:
        if found in size:
            outcome.quantities["gradient of 1.bias"][2] += (
                0.01 * outcome.quantities["gradient of 1.weight"].norm()
            )

    with pytest.raises(CheckFailedError, match=r"gradient of 1\.bias"):
        run_gate(monkeypatch, wrong, normalised_model())
