"""Mean and standard deviation: usual, given, or the program's own; of each input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgetrain.artifacts.specs import InputSpec, Preprocessing
from edgetrain.config.data import DataConfig
from edgetrain.data import load_dataset
from edgetrain.errors import ConfigError, UsageError
from edgetrain.reporting import Reporter

PROGRAM = {
    "inputs": InputSpec(shape=(1, 8, 8), preprocessing=Preprocessing(scale=1 / 255, mean=(0.1,), std=(0.2,)))
}
USED = {"inputs": PROGRAM["inputs"].preprocessing}


def test_that_of_the_program_takes_the_place_of_the_usual_one() -> None:
    assert load_dataset(DataConfig(), program=PROGRAM).preprocessing == USED
    assert load_dataset(DataConfig(mean=[0.1], std=[0.2]), program=PROGRAM).preprocessing == USED


def test_other_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match=r"its own preprocessing \(mean \[0\.1\], std \[0\.2\]\); leave"):
        load_dataset(DataConfig(mean=[0.1], std=[0.3]), program=PROGRAM)


@pytest.mark.parametrize(("largest", "warned"), [(1.0, True), (2.6, True), (255.0, False)])
def test_numbers_that_were_scaled_already_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest: float, warned: bool
) -> None:
    values = np.linspace(-largest, largest, 10 * 64, dtype=np.float32).reshape(10, 1, 8, 8)
    np.savez(tmp_path / "a.npz", inputs=values, targets=np.arange(10) % 2)
    reporter, heard = Reporter(), list[str]()
    monkeypatch.setattr(reporter, "warn", heard.append)
    load_dataset(DataConfig(name="arrays", root=tmp_path / "a.npz"), reporter, program=PROGRAM)
    assert any("scales by 1/255; store bytes" in text for text in heard) == warned


def test_an_input_the_program_does_not_know_stays_as_it_is() -> None:
    program = {"pixels": PROGRAM["inputs"]}
    assert load_dataset(DataConfig(), program=program).preprocessing == {"inputs": Preprocessing()}


def test_given_numbers_are_for_all_images_and_for_nothing_else(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    arrays = {
        "left": draw.integers(0, 256, (10, 3, 4, 4), dtype=np.uint8),
        "right": draw.integers(0, 256, (10, 1, 5, 5), dtype=np.uint8),
        "numbers": draw.normal(size=(10, 2)),
        "ids": draw.integers(0, 9, (10, 2)),
        "y": np.arange(10) % 2,
    }
    np.savez(tmp_path / "data.npz", **arrays)
    config = DataConfig(name="arrays", root=tmp_path / "data.npz", inputs=list(arrays)[:4])
    plain, scaled = Preprocessing(), Preprocessing(scale=1 / 255)
    assert load_dataset(config).preprocessing == {
        "left": scaled, "right": scaled, "numbers": plain, "ids": plain,
    }  # fmt: skip
    given = load_dataset(config.model_copy(update={"mean": [0.5], "std": [0.25]})).preprocessing
    assert given == {
        "left": Preprocessing(scale=1 / 255, mean=(0.5,), std=(0.25,)),
        "right": Preprocessing(scale=1 / 255, mean=(0.5,), std=(0.25,)),
        "numbers": plain,
        "ids": plain,
    }
    numbers = config.model_copy(update={"inputs": ["numbers", "ids"], "mean": [1.0, 2.0], "std": [3.0, 4.0]})
    assert load_dataset(numbers).preprocessing["numbers"].mean == (1.0, 2.0)
    with pytest.raises(ConfigError, match="2 values for 3 channels"):
        load_dataset(config.model_copy(update={"mean": [1.0, 2.0], "std": [3.0, 4.0]}))
    with pytest.raises(ConfigError, match="integer ids, which can't be normalised"):
        load_dataset(config.model_copy(update={"inputs": ["ids"], "mean": [1.0], "std": [1.0]}))
