"""A confusion matrix as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..artifacts.figures import drawn

# More classes have no room for a number in each field, and even more none for their names.
_NUMBERED, _NAMED = 20, 60


def draw_confusion(path: Path, counts: Sequence[Sequence[int]], names: Sequence[str], title: str) -> None:
    """Draws counts [K, K], rows by label, columns by prediction; colours are shares of a row."""
    matrix = np.array(counts, dtype=np.int64)
    size = len(matrix)
    rows = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(rows, 1)
    side = min(12.0, 2.4 + 0.42 * size)
    with drawn(path, side + 0.9, side) as figure:
        axes = figure.subplots()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.spines[:].set_visible(False)
        if size <= _NAMED:
            axes.set_xticks(range(size), names, rotation=45 if max(map(len, names)) > 3 else 0, ha="center")
            axes.set_yticks(range(size), names)
        if size <= _NUMBERED:
            for (row, column), count in np.ndenumerate(matrix):
                if count:
                    colour = "white" if shares[row, column] > 0.5 else "black"
                    text = f"{count}" if count < 10_000 else f"{100 * shares[row, column]:.0f} %"
                    axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
        axes.set_xlabel("predicted")
        axes.set_ylabel("label")
        axes.set_title(title, loc="left", fontsize=9)
        figure.colorbar(image, ax=axes, shrink=0.8, label="share of those with the label")
