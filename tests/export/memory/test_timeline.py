"""What is said and drawn about a method's memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgetrain.artifacts.memory import MOST_STRETCHES, MOST_TENSORS, MemoryRecord, TensorAtPeak
from edgetrain.export.memory.plot import plot_memory
from edgetrain.export.memory.timeline import LiveTensor, MemoryTimeline, Step, describe, record_of

INPUT, CONVOLUTION, BACKWARD = (
    Step("x", ""),
    Step("convolution", "conv (Conv2d)"),
    Step("mm", "head (Linear)"),
)
TIMELINE = MemoryTimeline(
    method="train",
    steps=(CONVOLUTION, Step("relu", ""), BACKWARD),
    tensors=(
        LiveTensor(INPUT, "input", (8, 3), "float32", 100_000, 0, 0),
        LiveTensor(CONVOLUTION, "saved", (8, 4), "float32", 900_000, 0, 2),
        LiveTensor(BACKWARD, "gradient", (4, 4), "float32", 300_000, 2, 2),
    ),
    bound=1_200_000,
    arena=1_260_000,
)
EMPTY = MemoryTimeline("weights", (), (), 0, 0)


def test_numbers() -> None:
    assert TIMELINE.live == [1_000_000, 900_000, 1_200_000]
    assert TIMELINE.live_of_kind("input") == [100_000, 0, 0]
    assert TIMELINE.live_of_kind("temporary") == [0, 0, 0]
    assert TIMELINE.peak == 2
    assert [tensor.bytes for tensor in TIMELINE.at_peak] == [900_000, 300_000]
    assert TIMELINE.waste == pytest.approx(0.05)
    assert EMPTY.waste == 0
    assert EMPTY.at_peak == EMPTY.live == []


def test_sentences() -> None:
    assert describe(TIMELINE) == (
        "train: 1.260 MB planned for activations, the least for its order of operators 1.200 MB "
        "(5.0 % wasted); peak at mm of head (Linear)"
    )
    assert describe(EMPTY).endswith("(0.0 % wasted)")


def test_record() -> None:
    record = record_of(TIMELINE)
    assert (record.bound, record.peak) == (1_200_000, "mm of head (Linear)")
    assert [tensor.maker for tensor in record.tensors] == [
        "convolution of conv (Conv2d)",
        "mm of head (Linear)",
    ]
    assert record.tensors[0] == TensorAtPeak(
        maker="convolution of conv (Conv2d)", kind="saved", shape=[8, 4], dtype="float32", bytes=900_000
    )
    assert [(stretch.operator.split()[0], stretch.bytes) for stretch in record.stretches] == [
        ("convolution", 1_000_000),
        ("relu", 900_000),
        ("mm", 1_200_000),
    ]
    assert record_of(EMPTY) == MemoryRecord(bound=0, peak="", tensors=[], stretches=[])


def test_long_methods_are_told_in_stretches() -> None:
    steps = tuple(Step(f"op{i}", "") for i in range(100))
    many = tuple(LiveTensor(steps[57], "saved", (4,), "float32", 16, 57, 57) for _ in range(20))
    record = record_of(MemoryTimeline("train", steps, many, 320, 320))
    assert len(record.stretches) == MOST_STRETCHES
    assert [stretch.operator for stretch in record.stretches if stretch.bytes == 320] == ["op57"]
    assert len(record.tensors) == MOST_TENSORS


def test_inputs_get_their_names() -> None:
    named = TIMELINE.with_inputs_named({"x": "image", "conv": "no input"})
    assert [str(tensor.maker) for tensor in named.tensors] == [
        "image",
        "convolution of conv (Conv2d)",
        "mm of head (Linear)",
    ]


def test_plot(tmp_path: Path) -> None:
    plot_memory([TIMELINE, EMPTY], tmp_path / "memory.png")
    assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")
