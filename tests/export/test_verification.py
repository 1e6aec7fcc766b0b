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
from edgetrain.errors import CheckFailedError
from edgetrain.export import verification
from edgetrain.export.batches import Batch
from edgetrain.export.verification import _Eager, compare
from edgetrain.runtimes.steps import Steps
from edgetrain.tasks import make_task

Sabotage = Callable[[Steps, int], None]


def deep_model() -> nn.Module:
    """Sigmoids, so that the first layer's gradients are thousands of times smaller than the last one's."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(5):
        layers += [nn.Linear(6, 6), nn.Sigmoid()]
    return nn.Sequential(*layers, nn.Linear(6, 3))


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
) -> Any:
    """Verifies a "program" that is eager PyTorch itself, except for what `sabotage` does to its results.

    Args:
        kernels: those that are wrong; edgetrain's are installed if it is these.
    """
    model = model or deep_model()
    task = make_task(TaskSpec(name="classification", loss="cross_entropy", classes=tuple("abc")))
    eager = _Eager(model, task, "frozen", OptimizerConfig(lr=0.01))

    class Device:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def __enter__(self) -> Device:
            return self

        def __exit__(self, *_: Any) -> None:
            pass

        def call(
            self, method: str, whose: str, inputs: Any, targets: Any, steps: int, optimizer: Any
        ) -> Steps:
            assert (method, optimizer) == ("run", eager.optimizer)
            batch = Batch(inputs, targets)
            found = eager.run(batch, steps)
            found.predictions = {m: task.predictions(outputs) for m, outputs in found.outputs.items()}
            found.outputs = {}
            if whose == kernels:
                sabotage(found, len(batch))
            return found

    monkeypatch.setattr(verification, "Child", Device)
    monkeypatch.setattr(
        verification, "find_kernels", lambda: Path("kernels.so") if kernels == "fast" else None
    )
    contract = SimpleNamespace(max_batch_size=16, optimizer=None, splits_batches=False)
    manifest = SimpleNamespace(batch_norm="frozen", contract=contract)
    program: Any = SimpleNamespace(manifest=manifest)
    return compare(program, model, task, make_batch, 1e-4)


def test_a_right_program_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run_gate(monkeypatch, lambda outcome, size: None)
    assert found.batch_sizes == [3, 1, 16]
    assert found.sensitivity is None
    assert max(found.loss, found.gradients, found.weights_after_steps, found.predictions, found.metrics) == 0
    assert found.kernels == ["stock"]
    assert run_gate(monkeypatch, lambda outcome, size: None, kernels="fast").kernels == ["stock", "fast"]


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


def test_a_kink_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An input of a ReLU that is 0 but for rounding: the gradient may go either way."""
    torch.manual_seed(0)
    first = nn.Linear(6, 4)
    model = nn.Sequential(first, nn.ReLU(), nn.Linear(4, 3))
    inputs = make_batch(0, 3).inputs[INPUTS]
    with torch.no_grad():
        first.bias[0] = -(inputs[0] @ first.weight[0])

    def flip(outcome: Steps, size: int) -> None:
        """What a runtime that rounds the other way could give on that batch, and only there."""
        if not seen:
            outcome.quantities["gradient of 0.bias"][0] += 0.5
        seen.append(size)

    seen: list[int] = []
    found = run_gate(monkeypatch, flip, model)
    assert seen == [3, 3, 1, 16], "the first batch was replaced by another"
    assert found.gradients <= 1e-4
