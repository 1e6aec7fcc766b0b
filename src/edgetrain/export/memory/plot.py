"""memory.png: what lives while a step runs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from ...artifacts.atomic import write_bytes
from ...artifacts.memory import Kind
from ...reporting import megabytes
from .timeline import KINDS, MemoryTimeline

_COLOURS: dict[Kind, str] = {
    "input": "#7f8c99",
    "saved": "#2f6db3",
    "gradient": "#b0502a",
    "temporary": "#3c8c55",
}
# Tensors named beside the peak.
_NAMED = 6


def plot_memory(timelines: Sequence[MemoryTimeline], path: Path) -> None:
    """Draws each method's live bytes over its operators, stacked by kind, with the largest tensors of the
    peak named, and writes them as PNG, atomically. Methods without operators are left out."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"axes.spines.top": False, "axes.spines.right": False, "font.size": 9}):
        timelines = [timeline for timeline in timelines if timeline.steps]
        figure = Figure(figsize=(10, 3.6 * len(timelines)), dpi=130, layout="constrained")
        for timeline, axes in zip(
            timelines, figure.subplots(len(timelines), squeeze=False)[:, 0], strict=True
        ):
            steps = range(len(timeline.steps) + 1)
            # Each operator takes the width of one step, so that the last value is drawn twice.
            layers = {kind: [n / 1e6 for n in timeline.live_of_kind(kind)] for kind in KINDS}
            axes.stackplot(
                steps,
                [live + live[-1:] for live in layers.values()],
                labels=[KINDS[kind] for kind in layers],
                colors=[_COLOURS[kind] for kind in layers],
                step="post",
            )
            axes.axhline(timeline.arena / 1e6, color="black", linewidth=0.8, linestyle="--", label="planned")
            axes.set_xlim(0, len(timeline.steps))
            axes.set_ylabel("activations [MB]")
            axes.set_xlabel("operator")
            axes.set_title(
                f"{timeline.method}: {megabytes(timeline.arena)}, peak at {timeline.steps[timeline.peak]}",
                loc="left",
                fontsize=9,
            )
            axes.text(
                1.01,
                1,
                "at the peak\n" + "\n".join(str(tensor.record) for tensor in timeline.at_peak[:_NAMED]),
                transform=axes.transAxes,
                verticalalignment="top",
                fontsize=7,
            )
            axes.legend(loc="lower left", bbox_to_anchor=(1, 0), frameon=False, fontsize=8)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    write_bytes(path, buffer.getvalue())
