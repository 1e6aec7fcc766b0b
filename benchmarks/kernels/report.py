"""Measured calls as Markdown: a table by operator, one by call, and the roofline as a picture."""

from __future__ import annotations

from pathlib import Path

from ..peaks import Peaks
from ..tables import table
from .measure import Timed


def by_operator(timed: list[Timed], peak: float) -> str:
    """Times of a whole step, summed by operator, the longest first; then their total."""
    rows = []
    for operator in dict.fromkeys((t.operator, t.kernel) for t in timed):
        same = [t for t in timed if (t.operator, t.kernel) == operator]
        rows.append([*operator, *_sums(same, peak)])
    rows.sort(key=lambda row: -row[3])
    head = ["operator", "kernel", "calls", "ms", "torch ms", "ratio", "GFLOP/s", "of peak %"]
    return table(head, [*rows, ["**all**", "", *_sums(timed, peak)]])


def by_call(timed: list[Timed], peak: float) -> str:
    """Times of one call each; those that take longest in a step first."""
    head = ["operator", "sizes", "calls", "kernel", "ms", "torch ms", "ratio", "GFLOP/s", "of peak %", "GB/s"]
    rows = []
    for t in sorted(timed, key=lambda t: -t.ms * t.count):
        share = 100 * t.gflops / peak if t.gflops else None
        name = t.operator.partition("::")[2]
        rows.append([name, t.sizes, t.count, t.kernel, t.ms, t.torch_ms, t.ratio, t.gflops, share, t.gb_s])
    return table(head, rows)


def _sums(timed: list[Timed], peak: float) -> list[float | int | None]:
    """Calls, ms, torch's ms, ratio, GFLOP/s and share of the peak. The ratio is of what both have."""
    ms = sum(t.ms * t.count for t in timed)
    both = [t for t in timed if t.torch_ms is not None]
    theirs = sum(t.torch_ms * t.count for t in both)
    ratio = sum(t.ms * t.count for t in both) / theirs if both else None
    counted = [t for t in timed if t.operations]
    operations, spent = (
        sum(x) for x in ([t.operations * t.count for t in counted], [t.ms * t.count for t in counted])
    )
    gflops = operations / spent / 1e6 if counted else None
    share = 100 * gflops / peak if gflops else None
    return [sum(t.count for t in timed), ms, theirs if both else None, ratio, gflops, share]


def plot_roofline(measured: dict[str, list[Timed]], peaks: Peaks, path: Path) -> None:
    """Convolutions and matrix products under what arithmetic and memory allow; file type by suffix."""
    import matplotlib
    import numpy as np
    from matplotlib.figure import Figure

    style = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9, "svg.fonttype": "none"}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.subplots()
        intensity = np.geomspace(0.5, 500, 200)
        for bytes_, bandwidth in peaks.triad_gb_s.items():
            roof = np.minimum(peaks.gflops, intensity * bandwidth)
            axes.plot(intensity, roof, color="#999999", linewidth=1)
            axes.annotate(
                f"{int(bytes_) / 2**20:.3g} MiB: {bandwidth:.0f} GB/s", (0.52, 0.54 * bandwidth), fontsize=7
            )
        for label, timed in measured.items():
            points = [(t.operations / t.bytes, t.gflops) for t in timed if t.operations]
            axes.scatter(*zip(*points, strict=True), s=14, alpha=0.7, label=label)
        axes.set(xscale="log", yscale="log", xlabel="operations per byte", ylabel="GFLOP/s")
        axes.set_title(f"{peaks.isa}, {peaks.threads} thread, peak {peaks.gflops:.0f} GFLOP/s", loc="left")
        axes.legend(frameon=False, fontsize=8, loc="lower right")
        figure.savefig(path)
