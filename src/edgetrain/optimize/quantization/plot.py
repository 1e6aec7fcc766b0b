"""A picture of where rounding hurts: a bar for each layer."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

from ...artifacts.atomic import write_bytes
from .layers import LayerNoise

_WORST = 3
_BLUE, _RED, _GREY = "#2f6db3", "#c0392b", "#555555"


def plot_layers(layers: Sequence[LayerNoise], path: Path) -> None:
    """Draws the SQNR that each layer leaves by itself, and that of its output in the rounded model.

    The layers that hurt most are red. The picture is written as PNG, atomically."""
    import matplotlib
    from matplotlib.figure import Figure

    finite = [db for layer in layers for db in (layer.alone_db, layer.inside_db) if math.isfinite(db)]
    most = max(finite, default=60.0)
    alone = [min(max(layer.alone_db, 0.0), most) for layer in layers]
    inside = [min(max(layer.inside_db, 0.0), most) for layer in layers]
    worst = sorted(range(len(layers)), key=lambda i: alone[i])[: min(_WORST, len(layers) // 2)]
    rows = range(len(layers))
    style = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7, 1.3 + 0.2 * max(len(layers), 5)), dpi=130, layout="constrained")
        axes = figure.subplots()
        axes.barh(
            rows,
            alone,
            height=0.7,
            color=[_RED if row in worst else _BLUE for row in rows],
            label="output, only this layer rounded",
        )
        axes.plot(inside, rows, "o", color="white", markeredgecolor=_GREY, markersize=4, zorder=3)
        axes.plot(
            [],
            [],
            "o",
            color="white",
            markeredgecolor=_GREY,
            markersize=4,
            label="its own output, all rounded",
        )
        axes.set_yticks(rows, [layer.name for layer in layers], fontsize=8)
        axes.set_ylim(len(layers) - 0.4, -0.6)
        axes.set_xlim(0, 1.05 * most)
        axes.set_xlabel("signal to quantization noise [dB]; more is better")
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    write_bytes(path, buffer.getvalue())
