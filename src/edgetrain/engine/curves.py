"""A history as a picture: loss, the other metrics and learning rate over the epochs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..artifacts.contract import Metric
from ..artifacts.figures import drawn
from ..artifacts.history import History, Part

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PARTS: tuple[tuple[Part, str, str], ...] = (
    ("train", "training", "#2f6db3"),
    ("val", "validation", "#b0502a"),
)
_GREY = "#7f8c99"
# Panels in a row.
_MOST = 4


def picture_path(history: Path, form: str) -> Path:
    """`model.history.png` beside `model.history.json`."""
    return history.with_suffix(f".{form}")


def draw_history(history: History, path: Path, title: str) -> None:
    """Draws a run that has at least one epoch, and writes it atomically as PNG or SVG, as `path` ends."""
    metrics = history.metrics[: _MOST - 1]
    with drawn(path, 3.4 * (len(metrics) + 1), 3.2) as figure:
        panels = figure.subplots(1, len(metrics) + 1, squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=False):
            _draw_metric(axes, history, metric)
        _draw_rate(panels[-1], history)
        for axes in panels:
            _finish(axes, history)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
        figure.suptitle(title, x=0.01, ha="left", fontsize=9)


def _draw_metric(axes: Axes, history: History, metric: Metric) -> None:
    scale = 100 if metric.is_share else 1
    for part, label, colour in _PARTS:
        points = [(e.epoch, e.figure(part, metric.name)) for e in history.epochs]
        known = [(epoch, scale * value) for epoch, value in points if value is not None]
        axes.plot(*_columns(known), label=label, color=colour, marker=_marker(known), markersize=3)
    unit = " [%]" if metric.is_share else ""
    axes.set_title(f"{metric.name.replace('_', ' ')}{unit}", loc="left", fontsize=9)


def _draw_rate(axes: Axes, history: History) -> None:
    known = [(e.epoch, e.learning_rate) for e in history.epochs if e.learning_rate is not None]
    axes.plot(*_columns(known), color=_GREY, marker=_marker(known), markersize=3)
    axes.set_ylim(bottom=0)
    axes.set_title("learning rate, last step of each epoch", loc="left", fontsize=9)


def _finish(axes: Axes, history: History) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.25, linewidth=0.6)
    first, last = history.epochs[0].epoch, history.epochs[-1].epoch
    margin = max(0.5, 0.03 * (last - first))
    axes.set_xlim(first - margin, last + margin)
    if history.best_epoch is not None:
        label = f"kept: epoch {history.best_epoch}"
        axes.axvline(history.best_epoch, label=label, color=_GREY, linestyle=":", linewidth=1.2)


def _columns(points: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [epoch for epoch, _ in points], [value for _, value in points]


def _marker(points: list[tuple[int, float]]) -> str | None:
    """A dot for each epoch, as long as they are few."""
    return "o" if len(points) <= 40 else None
