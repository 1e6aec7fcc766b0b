"""What a manifest tells of a method's memory, and its chart."""

from __future__ import annotations

import pytest

from edgetrain.artifacts.memory import Stretch, TensorAtPeak, chart

STRETCHES = [
    Stretch(operator="convolution of conv (Conv2d)", bytes=1_000_000),
    Stretch(operator="relu", bytes=0),
    Stretch(operator="mm of a.module.with.a.long.name (AndOneOfAKindWithALongName)", bytes=1_200_000),
    Stretch(operator="sum", bytes=1_200_000),
]


def test_texts() -> None:
    tensor = TensorAtPeak(maker="relu", kind="saved", shape=[8, 4], dtype="float32", bytes=900_000)
    assert str(tensor) == "0.900 MB 8x4 float32, relu (saved)"
    assert "scalar" in str(tensor.model_copy(update={"shape": []}))


@pytest.mark.parametrize("width", [60, 100])
def test_chart(width: int) -> None:
    lines = chart(STRETCHES, width)
    bars = [line.count("█") for line in lines]
    assert bars[1] == 0 < bars[0] < bars[2] == bars[3]
    assert [line.endswith("◀") for line in lines] == [False, False, True, False]
    assert all(len(line) <= width for line in lines)
    assert "…" in lines[2]


def test_charts_of_nothing() -> None:
    assert chart([]) == []
    assert chart([Stretch(operator="relu", bytes=0)]) == ["relu     0.000 MB  ◀"]
