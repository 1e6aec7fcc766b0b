"""Programs bring their own preprocessing."""

from __future__ import annotations

import pytest

from edgetrain.artifacts.specs import Preprocessing
from edgetrain.config.data import DataConfig
from edgetrain.data import load_dataset
from edgetrain.errors import UsageError

PROGRAM = Preprocessing(scale=1 / 255, mean=(0.1,), std=(0.2,))


def test_that_of_the_program_takes_the_place_of_the_usual_one() -> None:
    assert load_dataset(DataConfig(), preprocessing=PROGRAM).preprocessing == PROGRAM
    assert load_dataset(DataConfig(mean=[0.1], std=[0.2]), preprocessing=PROGRAM).preprocessing == PROGRAM


def test_other_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match=r"its own preprocessing \(mean \[0\.1\], std \[0\.2\]\); leave"):
        load_dataset(DataConfig(mean=[0.1], std=[0.3]), preprocessing=PROGRAM)
