"""bench.png: what is written in it can be read."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgetrain.bench.plot import draw_report, plot_report
from edgetrain.bench.report import BenchReport


@pytest.mark.parametrize("cases", [1, 6])
def test_no_two_labels_overlap(made_up_report: Callable[..., BenchReport], cases: int) -> None:
    figure = draw_report(made_up_report(cases))
    figure.draw_without_rendering()
    for axes in figure.axes:
        texts = [t for t in (*axes.texts, *axes.get_yticklabels(), axes.title) if t.get_text()]
        boxes: list[tuple[str, Any]] = [(t.get_text(), t.get_window_extent()) for t in texts]
        for (name, box), (other, further) in itertools.combinations(boxes, 2):
            assert not box.overlaps(further), (name, other)
        for _, box in boxes:
            assert box.x0 >= 0
            assert box.x1 <= figure.bbox.x1
    times = [text.get_text() for text in figure.axes[0].texts]
    assert len(times) == 4 * cases
    assert times[:1] == ["1.25"]


def test_the_file(made_up_report: Callable[..., BenchReport], tmp_path: Path) -> None:
    plot_report(made_up_report(6), tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert (image.format, image.width) == ("PNG", 1560)
        assert image.height > 800
