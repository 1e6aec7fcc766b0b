"""The gate itself: what a wrong program could do, and that each of it is found."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgetrain.artifacts.specs import Task
from edgetrain.errors import CheckFailedError
from edgetrain.export import verification
from edgetrain.export.verification import _Eager, verify
from edgetrain.runtimes.steps import Outcome

Sabotage = Callable[[Outcome, int], None]


def deep_model() -> nn.Module:
    """Sigmoids, so that the first layer's gradients are thousands of times smaller than the last one's."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(5):
        layers += [nn.Linear(6, 6), nn.Sigmoid()]
    return nn.Sequential(*layers, nn.Linear(6, 3))


def make_batch(draw: int, size: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(draw)
    return torch.randn(size, 6, generator=generator), torch.randint(0, 3, (size,), generator=generator)


def run_gate(monkeypatch: pytest.MonkeyPatch, sabotage: Sabotage, model: nn.Module | None = None) -> Any:
    """Verifies a "program" that is eager PyTorch itself, except for what `sabotage` does to its results."""
    model = model or deep_model()
    task = Task(classes=list("abc"))
    eager = _Eager(model, task, "frozen", 0.01)

    class Device:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def __enter__(self) -> Device:
            return self

        def __exit__(self, *_: Any) -> None:
            pass

        def call(self, method: str, inputs: Tensor, targets: Tensor, steps: int) -> Outcome:
            assert method == "run"
            outcome = eager.run(inputs, targets, steps)
            outcome.predictions = {k: v.argmax(1) for k, v in outcome.logits.items()}
            outcome.logits = {}
            sabotage(outcome, len(inputs))
            return outcome

    monkeypatch.setattr(verification, "Child", Device)
    manifest = SimpleNamespace(task=task, batch_norm="frozen", max_batch_size=16)
    program: Any = SimpleNamespace(manifest=manifest)
    return verify(program, model, make_batch, learning_rate=0.01, tolerance=1e-4)


def test_a_right_program_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run_gate(monkeypatch, lambda outcome, size: None)
    assert found.batch_sizes == [3, 1, 16]
    assert found.sensitivity is None
    assert max(found.loss, found.gradients, found.weights_after_steps, found.predictions) == 0


def scale(name: str, factor: float, sizes: tuple[int, ...] = (1, 3, 16)) -> Sabotage:
    def sabotage(outcome: Outcome, size: int) -> None:
        if size in sizes and name in outcome.quantities:
            outcome.quantities[name] = outcome.quantities[name] * factor

    return sabotage


def other_class(method: str) -> Sabotage:
    def sabotage(outcome: Outcome, size: int) -> None:
        outcome.predictions[method] = (outcome.predictions[method] + 1) % 3

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
        (scale("predict", 1.01), r"predict \(1"),
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


def test_a_kink_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An input of a ReLU that is 0 but for rounding: the gradient may go either way."""
    torch.manual_seed(0)
    first = nn.Linear(6, 4)
    model = nn.Sequential(first, nn.ReLU(), nn.Linear(4, 3))
    inputs, _ = make_batch(0, 3)
    with torch.no_grad():
        first.bias[0] = -(inputs[0] @ first.weight[0])

    def flip(outcome: Outcome, size: int) -> None:
        """What a runtime that rounds the other way could give on that batch, and only there."""
        if not seen:
            outcome.quantities["gradient of 0.bias"][0] += 0.5
        seen.append(size)

    seen: list[int] = []
    found = run_gate(monkeypatch, flip, model)
    assert seen == [3, 3, 1, 16], "the first batch was replaced by another"
    assert found.gradients <= 1e-4
