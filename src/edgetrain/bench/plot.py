"""bench.png: step time, memory and loss curves of a report."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ..artifacts.atomic import write_bytes
from .report import BenchReport, Measurement

_COLOURS = {"torch": "#b0502a", "executorch": "#2f6db3", "executorch-stock": "#7f8c99", "native": "#3c8c55"}


def plot_report(report: BenchReport, path: Path) -> None:
    """Draws the three panels side by side and writes them as PNG, atomically."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"axes.spines.top": False, "axes.spines.right": False, "font.size": 9}):
        figure = Figure(figsize=(12, 3.8), dpi=130, layout="constrained")
        times, memory, losses = figure.subplots(1, 3)
        _bars(times, report, lambda m: m.step_ms.median, "step time, median [ms]", log=True)
        _bars(memory, report, lambda m: m.peak_rss_bytes / 2**20, "peak memory of the process [MiB]")
        _curves(losses, report)
        handles, labels = times.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
        figure.suptitle(
            f"{report.workload['model']} on {report.workload['dataset']}, {report.machine['cpu']}"
        )
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    write_bytes(path, buffer.getvalue())


def _case(measurement: Measurement) -> str:
    threads = "thread" if measurement.threads == 1 else "threads"
    return f"batch {measurement.batch_size}\n{measurement.threads} {threads}"


def _bars(axes: Any, report: BenchReport, value: Any, label: str, *, log: bool = False) -> None:
    cases = list(dict.fromkeys(_case(m) for m in report.results))
    runtimes = list(dict.fromkeys(m.runtime for m in report.results))
    width = 0.8 / len(runtimes)
    for i, runtime in enumerate(runtimes):
        measured = [m for m in report.results if m.runtime == runtime]
        places = [cases.index(_case(m)) + (i - (len(runtimes) - 1) / 2) * width for m in measured]
        bars = axes.bar(
            places, [value(m) for m in measured], width, label=runtime, color=_COLOURS.get(runtime)
        )
        axes.bar_label(bars, fmt="%.3g", padding=2, fontsize=8)
    if log:
        axes.set_yscale("log")
    axes.margins(y=0.15)
    axes.set_xticks(range(len(cases)), cases)
    axes.set_title(label, loc="left", fontsize=9)


def _curves(axes: Any, report: BenchReport) -> None:
    first = report.results[0]
    chosen = [m for m in report.results if _case(m) == _case(first)]
    for i, m in enumerate(chosen):
        # The curves should coincide, so each is drawn thinner than the one below it.
        axes.plot(
            range(1, len(m.losses) + 1),
            m.losses,
            label=m.runtime,
            color=_COLOURS.get(m.runtime),
            linewidth=5 - 3.5 * i / max(1, len(chosen) - 1) if len(chosen) > 1 else 2,
        )
    axes.set_xlabel("step")
    axes.set_title(f"loss of each step, {_case(first)}".replace("\n", ", "), loc="left", fontsize=9)
