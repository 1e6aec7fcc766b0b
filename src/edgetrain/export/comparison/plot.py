"""A picture of what updates cost: memory against trained parameters."""

from __future__ import annotations

import io
from pathlib import Path

from ...artifacts.atomic import write_bytes
from . import Comparison


def plot_comparison(comparison: Comparison, path: Path) -> None:
    """Draws a point for each update, its memory against the parameters it trains, in the colour of what it
    reached where that was measured, and writes the picture as PNG, atomically."""
    import matplotlib
    from matplotlib.figure import Figure

    costs, metric = comparison.costs, comparison.metric
    with matplotlib.rc_context({"axes.spines.top": False, "axes.spines.right": False, "font.size": 9}):
        figure = Figure(figsize=(7, 4.2), dpi=130, layout="constrained")
        axes = figure.subplots()
        points = axes.scatter(
            [cost.trained for cost in costs],
            [cost.total / 1e6 for cost in costs],
            c="#2f6db3" if metric is None else [cost.figure for cost in costs],
            zorder=2,
        )
        if metric is not None:
            figure.colorbar(points, label=f"{metric.name} after a short fine-tuning")
        for cost in costs:
            axes.annotate(
                cost.update,
                (cost.trained, cost.total / 1e6),
                xytext=(5, 5),
                textcoords="offset points",
                fontsize=8,
            )
        axes.set_xscale("log")
        axes.set_ylim(0, 1.15 * max(cost.total for cost in costs) / 1e6)
        axes.margins(x=0.15)
        axes.set_xlabel("trained parameters")
        axes.set_ylabel("activations, weights that change, state [MB]")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    write_bytes(path, buffer.getvalue())
