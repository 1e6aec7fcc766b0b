import math

import pytest
import torch

from edgetrain.artifacts.contract import Metric
from edgetrain.engine.metrics import Meter, score

LOSS = Metric(name="loss", top="loss_sum", bottom="count", better="lower")
ACCURACY = Metric(name="accuracy", top="correct", bottom="count", better="higher", is_share=True)
PERPLEXITY = Metric(name="perplexity", kind="exp_mean", top="loss_sum", bottom="count", better="lower")
IOU = Metric(name="mean_iou", kind="mean_of_ratios", top="inside", bottom="all", better="higher")


def _sums(**values: float | list[float]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value) for name, value in values.items()}


def test_sums_are_added_up() -> None:
    meter = Meter()
    assert math.isnan(meter.figure(LOSS))
    meter.add(_sums(loss_sum=3.0, count=3.0, correct=2.0), 3)
    meter.add(_sums(loss_sum=5.0, count=1.0, correct=1.0), 1)
    meter.add(_sums(loss_sum=100.0, count=1.0, correct=0.0), 0)
    assert meter.figures([LOSS, ACCURACY]) == {"loss": 2.0, "accuracy": 0.75}
    assert meter.samples == 4
    assert meter.figure(PERPLEXITY) == pytest.approx(math.exp(2))


def test_all_wrong_is_zero() -> None:
    meter = Meter()
    meter.add(_sums(correct=0.0, count=3.0), 3)
    assert meter.figure(ACCURACY) == 0.0


def test_ratios_of_vectors_leave_out_what_never_occurs() -> None:
    meter = Meter()
    meter.add(_sums(inside=[1.0, 0.0, 2.0], all=[2.0, 0.0, 2.0]), 1)
    meter.add(_sums(inside=[0.0, 0.0, 1.0], all=[2.0, 0.0, 1.0]), 1)
    assert meter.figure(IOU) == pytest.approx((0.25 + 1.0) / 2)


def test_a_loss_beyond_all_bounds() -> None:
    meter = Meter()
    meter.add(_sums(loss_sum=1e6, count=1.0), 1)
    assert meter.figure(PERPLEXITY) == math.inf


def test_scores_compare_the_most_important_first() -> None:
    metrics = [LOSS, ACCURACY]

    def of(loss: float | None, accuracy: float | None) -> list[float]:
        return score({"loss": loss, "accuracy": accuracy}, metrics, ["accuracy", "loss"])

    assert of(1.0, 0.9) > of(0.1, 0.8)
    assert of(0.1, 0.9) > of(0.2, 0.9)
    assert of(9.0, 0.0) > of(math.nan, None)
