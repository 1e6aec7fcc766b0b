"""`xor`: the truth table."""

from __future__ import annotations

import pytest
import torch

from edgetrain.config.data import DataConfig
from edgetrain.data import load_dataset
from edgetrain.errors import ConfigError


def test_is_the_truth_table_in_both_splits() -> None:
    data = load_dataset(DataConfig(name="xor"))
    for split in (data.train, data.test):
        points = split.inputs(range(4))["inputs"]
        assert points.dtype == torch.float32
        assert [(int(a) ^ int(b)) for a, b in points.tolist()] == split.labels.tolist()
        assert len({tuple(point) for point in points.tolist()}) == 4
    assert data.inputs["inputs"].shape == (2,)
    assert data.classes == ["0", "1"]


def test_options_that_change_nothing_are_refused_together() -> None:
    with pytest.raises(ConfigError) as caught:
        load_dataset(
            DataConfig(name="xor", root="x", test_fraction=0.5, args={"a": 1}, inputs=["a"], length=5)
        )
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "data.args",
        "data.inputs",
        "data.length",
        "data.root",
        "data.test_fraction",
    ]
