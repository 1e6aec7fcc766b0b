"""What updates cost, told without writing a program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgetrain.config.stages import ExportCommand
from edgetrain.errors import UsageError
from edgetrain.export import compare_updates
from edgetrain.export.comparison import Comparison, _updates
from edgetrain.export.comparison.plot import plot_comparison


def command(**settings: object) -> ExportCommand:
    settings = {"max_batch_size": 16, **settings}
    return ExportCommand.model_validate({"optimizer": {"lr": 0.2}, "export": settings})


@pytest.fixture(scope="module")
def comparison(classifier: Path, samples: Path) -> Comparison:
    return compare_updates(command(calibration=samples), classifier)


def test_costs(comparison: Comparison, classifier: Path) -> None:
    costs = {cost.update: cost for cost in comparison.costs}
    assert list(costs) == ["head", "bias", "full"]
    assert [cost.trained for cost in comparison.costs] == [18, 26, 74]
    for cost in comparison.costs:
        assert cost.weights == cost.state == 4 * cost.trained
        assert cost.total == cost.activations + cost.weights + cost.state
        assert cost.activations > 0
    assert {path.name for path in classifier.parent.iterdir()} <= {"model.pth", "samples.npz"}


def test_what_a_short_fine_tuning_reaches(comparison: Comparison) -> None:
    assert comparison.metric is not None
    assert comparison.metric.name == "accuracy"
    figures = {cost.update: cost.figure or 0 for cost in comparison.costs}
    assert figures["full"] >= 0.8
    assert all(0 <= figure <= 1 for figure in figures.values())


def test_which_updates() -> None:
    layers = [f"layer{i}" for i in range(100)]
    assert _updates("full", layers) == ["head", "bias", "last:3", "last:6", "last:16", "last:40", "full"]
    assert _updates("full", layers[:4]) == ["head", "bias", "last:2", "last:3", "full"]
    assert _updates("full", layers[:1]) == ["head", "bias", "full"]
    assert _updates("rules:r.yaml", layers[:2])[-1] == "rules:r.yaml"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trainable": ["head.*"]}, "varies what is trained; leave out --trainable"),
        ({"update": "budget:2MB"}, "doesn't search; leave out --update budget:2MB"),
    ],
)
def test_what_contradicts_it(classifier: Path, settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        compare_updates(command(**settings), classifier)


def test_what_other_settings_dont_allow_is_left_out(classifier: Path) -> None:
    """No backbone lies before the first layer."""
    found = compare_updates(command(backbone="xnnpack"), classifier)
    assert [cost.update for cost in found.costs] == ["head"]


def test_too_few_samples(classifier: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.npz"
    np.savez(few, inputs=np.zeros((3, 6), np.float32), targets=np.zeros(3, np.int64))
    with pytest.raises(
        UsageError, match=r"few\.npz gives . samples to tune with, too few to compare by; it takes 4"
    ):
        compare_updates(command(calibration=few), classifier)


def test_plot(comparison: Comparison, tmp_path: Path) -> None:
    for number, drawn in enumerate((comparison, Comparison(comparison.costs, None))):
        path = tmp_path / f"{number}.png"
        plot_comparison(drawn, path)
        assert path.read_bytes().startswith(b"\x89PNG")
