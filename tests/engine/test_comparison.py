"""What counts as wrong."""

from __future__ import annotations

import math

import pytest
import torch

from edgetrain.engine.comparison import Truth, largest


def test_errors_are_measured_in_units_of_what_a_quantity_is_made_of() -> None:
    exact = torch.tensor([3.0, 4.0], dtype=torch.float64)
    off = exact.float() + torch.tensor([0.0, 0.01])
    assert Truth(exact).error(off) == pytest.approx(0.002, rel=1e-3)
    assert Truth(exact, terms=1.0).error(off) == pytest.approx(0.002, rel=1e-3), "smaller than itself"
    assert Truth(exact, terms=50.0).error(off) == pytest.approx(0.0002, rel=1e-3)


def test_what_is_zero_but_for_rounding_may_be_off_by_rounding_only() -> None:
    bias = Truth(torch.full((4,), 1e-17, dtype=torch.float64), own=4e-8, terms=2.0)
    assert bias.judged(torch.full((4,), 1e-6), 1e-4) < 1e-4
    assert bias.judged(torch.full((4,), 1e-3), 1e-4) > 1e-4
    # Without its terms, its own rounding is all that is known of it.
    alone = Truth(bias.exact, own=4e-8)
    assert alone.judged(torch.full((4,), 5e-8), 1e-4) < 1e-4
    assert alone.judged(torch.full((4,), 1e-6), 1e-4) > 1e-4


def test_nobody_is_asked_for_more_than_eager_has() -> None:
    exact = torch.ones(1, dtype=torch.float64)
    truth = Truth(exact, own=0.001)
    assert truth.allowed(1e-4) == pytest.approx(0.003)
    assert truth.allowed(1e-2) == 1e-2
    assert truth.judged(exact + 0.0029, 1e-4) <= 1e-4 < truth.judged(exact + 0.0031, 1e-4)
    assert truth.error(exact + 0.0029) == pytest.approx(0.0029), "the error itself is told as it is"


def test_nan_is_always_wrong() -> None:
    truth = Truth(torch.ones(1, dtype=torch.float64), own=1.0, terms=100.0)
    assert not truth.judged(torch.tensor([math.nan]), 1e-4) <= 1e-4
    assert largest([0.1, math.nan, 0.2]) == math.inf
