"""bench.png: step time, memory and loss curves of a report."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..artifacts.atomic import write_bytes
from .report import BenchReport, Measurement

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {"torch": "#b0502a", "executorch": "#2f6db3", "executorch-stock": "#7f8c99", "native": "#3c8c55"}
# Height of a bar [inches].
_BAR = 0.2


def plot_report(report: BenchReport, path: Path) -> None:
    """Writes the picture as PNG, atomically."""
    buffer = io.BytesIO()
    with _style():
        draw_report(report).savefig(buffer, format="png")
    write_bytes(path, buffer.getvalue())


def draw_report(report: BenchReport) -> Figure:
    """Times and memory, with a bar for each measurement, and the losses."""
    from matplotlib.figure import Figure

    with _style():
        figure = Figure(figsize=(12, max(3.8, 1.8 + _BAR * len(report.results))), dpi=130)
        figure.set_layout_engine("constrained")
        panels = figure.subplots(1, 3)
        _bars(panels[0], report, lambda m: m.step_ms.median, "step time, median [ms]", log=True)
        _bars(panels[1], report, lambda m: m.peak_rss_bytes / 2**20, "peak memory of the process [MiB]")
        _curves(panels[2], report)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
        figure.suptitle(
            f"{report.workload['model']} on {report.workload['dataset']}, {report.machine['cpu']}"
        )
    return figure


def _style() -> Any:
    import matplotlib

    return matplotlib.rc_context({"axes.spines.top": False, "axes.spines.right": False, "font.size": 9})


def _case(measurement: Measurement) -> str:
    threads = "thread" if measurement.threads == 1 else "threads"
    return f"batch {measurement.batch_size}\n{measurement.threads} {threads}"


def _bars(axes: Any, report: BenchReport, value: Any, label: str, *, log: bool = False) -> None:
    """Lying bars: their numbers stand beside each other however many there are."""
    cases = list(dict.fromkeys(_case(m) for m in report.results))
    runtimes = list(dict.fromkeys(m.runtime for m in report.results))
    width = 0.8 / len(runtimes)
    for i, runtime in enumerate(runtimes):
        measured = [m for m in report.results if m.runtime == runtime]
        places = [cases.index(_case(m)) + (i - (len(runtimes) - 1) / 2) * width for m in measured]
        bars = axes.barh(
            places, [value(m) for m in measured], width, label=runtime, color=_COLOURS.get(runtime)
        )
        axes.bar_label(bars, fmt=_number, padding=2, fontsize=8)
    if log:
        axes.set_xscale("log")
    axes.margins(x=0.18)
    axes.invert_yaxis()
    axes.set_yticks(range(len(cases)), cases)
    axes.tick_params(axis="y", length=0)
    axes.set_title(label, loc="left", fontsize=9)


def _number(value: float) -> str:
    """Three digits, without powers of ten."""
    return f"{value:.3g}" if value < 999.5 else f"{value:.0f}"


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
