"""The picture of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from edgetrain.artifacts.contract import Metric
from edgetrain.artifacts.history import EpochRecord, History
from edgetrain.engine import curves

LOSS = Metric(name="loss", top="loss_sum", bottom="count", better="lower")
ACCURACY = Metric(name="top_accuracy", top="correct", bottom="count", better="higher", is_share=True)


def history(epochs: list[EpochRecord], **more: object) -> History:
    return History.model_validate(
        {"runtime": "torch", "device": "cpu", "threads": 1, "seed": 0, "epochs": epochs, **more}
    )


RUN = history(
    [
        EpochRecord(epoch=0, val_loss=2.0).with_figures("val", {"top_accuracy": 0.1}),
        EpochRecord(epoch=1, train_loss=1.5, learning_rate=0.1).with_figures("train", {"top_accuracy": 0.25}),
        EpochRecord(epoch=2, train_loss=1.0, val_loss=0.5, learning_rate=0.01),
    ],
    metrics=[LOSS, ACCURACY],
    best_epoch=2,
)


def test_what_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    panels = []
    finish = curves._finish
    monkeypatch.setattr(curves, "_finish", lambda axes, found: (panels.append(axes), finish(axes, found)))
    curves.draw_history(RUN, tmp_path / "h.png", "a title")
    assert [axes.get_title(loc="left") for axes in panels] == [
        "loss",
        "top accuracy [%]",
        "learning rate, last step of each epoch",
    ]

    def points(line):
        return list(zip(*map(list, line.get_data()), strict=True))

    loss, accuracy, rate = ([points(line) for line in axes.lines] for axes in panels)
    assert loss[:2] == [[(1, 1.5), (2, 1.0)], [(0, 2.0), (2, 0.5)]]
    assert accuracy[:2] == [[(1, 25.0)], [(0, 10.0)]]
    assert rate[0] == [(1, 0.1), (2, 0.01)]
    assert all(axes.lines[-1].get_xdata() == [2, 2] for axes in panels)
    with Image.open(tmp_path / "h.png") as image:
        assert image.size == (1326, 416)


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_run_of_few_figures(tmp_path: Path, epochs: int) -> None:
    """The same run is the same file."""
    few = history([EpochRecord(epoch=i) for i in range(epochs)], metrics=[LOSS])
    for name in ("a.svg", "b.svg"):
        curves.draw_history(few, tmp_path / name, "a title with $ and _")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
