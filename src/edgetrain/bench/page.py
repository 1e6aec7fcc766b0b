"""The report as one HTML page that needs nothing else: for a browser, a phone, a mail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..artifacts.atomic import write_text
from .columns import Column, bar_table
from .curves import line_chart
from .machine import busy_note
from .markup import Markup, element, joined
from .profile import OperatorTime
from .report import BenchReport, Measurement

_OPERATORS_SHOWN = 12
_Figure = Callable[[Measurement], float | None]

_TIMES: list[Column[Measurement]] = [
    Column("median", "ms", lambda m: m.step_ms.median),
    Column("95 %", "ms", lambda m: m.step_ms.p95),
    Column("vs torch", "", lambda m: m.ratio_to_torch, decimals=3),
    Column("samples", "1/s", lambda m: m.samples_per_s, wide=True),
]
_MIB = 2**20
_MEMORY: list[Column[Measurement]] = [
    Column("peak", "MiB", lambda m: m.peak_rss_bytes / _MIB),
    Column("before", "MiB", lambda m: m.baseline_rss_bytes / _MIB),
    Column("planned", "MiB", lambda m: None if m.arena_bytes is None else m.arena_bytes / _MIB),
    Column("files", "MiB", lambda m: None if m.program_bytes is None else m.program_bytes / _MIB, wide=True),
]
_ERRORS: list[Column[Measurement]] = [
    Column("loss", "", lambda m: m.max_loss_rel_error, digits=2, power=True),
    Column("gradients", "", lambda m: m.max_gradient_rel_error, digits=2, power=True),
]
_OPERATORS: list[Column[OperatorTime]] = [
    Column("time", "ms", lambda o: o.ms),
    Column("share", "%", lambda o: 100 * o.share, decimals=1),
    Column("calls", "", lambda o: o.calls, decimals=0, wide=True),
]


def save_page(path: Path, report: BenchReport) -> None:
    """Writes the page atomically."""
    write_text(path, page(report))


def page(report: BenchReport) -> str:
    """The report as a whole HTML document: no scripts, and nothing from elsewhere."""
    workload, machine = report.workload, report.machine
    title = f"{workload['model']} on {workload['dataset']}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"edgetrain bench: {title}"),
        element("style", Markup(_style())),
    )
    note = busy_note(machine)
    body = element(
        "main",
        element("h1", title),
        element("p", f"The same training steps in every runtime, on {machine['cpu']}.", class_="soft"),
        element("p", f"{note[0].upper()}{note[1:]}.", class_="note") if note else None,
        element("pre", element("code", report.command_line)) if report.command_line else None,
        _legend(report),
        *_times(report),
        *_memory(report),
        *_losses(report),
        *_profiles(report),
        *_setting(report),
    )
    document = element("html", head, element("body", body), lang="en")
    return f"<!doctype html>\n{document}\n"


def cases(report: BenchReport) -> dict[str, list[Measurement]]:
    """Measurements that can be compared, by what they have in common."""
    found: dict[str, list[Measurement]] = {}
    for m in report.results:
        found.setdefault(case_name(m), []).append(m)
    return found


def case_name(m: Measurement) -> str:
    """Batch size and threads, for people."""
    return f"batch {m.batch_size}, {m.threads} {'thread' if m.threads == 1 else 'threads'}"


@cache
def _style() -> str:
    return files(__package__).joinpath("page.css").read_text()


def _section(title: str, text: str, *content: Markup) -> list[Markup]:
    return [element("section", element("h2", title), element("p", text, class_="soft"), *content)]


def _legend(report: BenchReport) -> Markup:
    names = dict.fromkeys(m.runtime for m in report.results)
    return element("ul", *(element("li", name, class_=name) for name in names), class_="legend")


def _of_runtimes(report: BenchReport, columns: Sequence[Column[Measurement]], bar: _Figure) -> Markup:
    return bar_table(
        cases(report), "runtime", lambda m: m.runtime, columns, bar=bar, colour=lambda m: m.runtime
    )


def _times(report: BenchReport) -> list[Markup]:
    text = "Forward, backward and optimizer of one batch. Read the ratios; below 1 is faster than torch."
    return _section("Step time", text, _of_runtimes(report, _TIMES, lambda m: m.step_ms.median))


def _memory(report: BenchReport) -> list[Markup]:
    text = (
        "The process at its peak, and before it loaded the program. Planned is what a step needs in the "
        "program's own memory, activations and weights; files are the program and its weights."
    )
    return _section("Memory", text, _of_runtimes(report, _MEMORY, lambda m: m.peak_rss_bytes / _MIB))


def _losses(report: BenchReport) -> list[Markup]:
    text = (
        "Every runtime starts from the same weights and sees the same batches. Loss: the largest relative "
        "difference from torch over all steps. Gradients: that of the first batch from torch in float64."
    )
    charts = []
    for name, measured in cases(report).items():
        losses = {m.runtime: m.losses for m in measured}
        charts.append(_figure(f"loss, {name}", line_chart(losses, label=f"loss of each step, {name}")))
        reference = losses.get("torch")
        if reference is not None and measured[0].max_loss_rel_error is not None and len(losses) > 1:
            differences = {
                runtime: [abs(a - b) / max(abs(b), 1e-12) for a, b in zip(values, reference, strict=True)]
                for runtime, values in losses.items()
                if runtime != "torch"
            }
            chart = line_chart(differences, log=True, label=f"relative difference of losses, {name}")
            charts.append(_figure(f"relative difference from torch, {name}", chart))
    table = _of_runtimes(report, _ERRORS, lambda m: None)
    return _section("The same losses?", text, table, element("div", *charts, class_="charts"))


def _figure(caption: str, chart: Markup) -> Markup:
    return element("figure", element("figcaption", caption), chart)


def _profiles(report: BenchReport) -> list[Markup]:
    tables = [_profile(m) for m in report.results if m.profile is not None]
    if not tables:
        return []
    text = (
        "Of further steps that were profiled, which takes time itself. Kernels are edgetrain's, ExecuTorch's "
        "or PyTorch's. The bar is an operator's share of all operators' time."
    )
    return _section("Operators", text, *tables)


def _profile(m: Measurement) -> Markup:
    profile = m.profile
    assert profile is not None
    parts = dict.fromkeys(("forward", "backward", "update"), 0.0)
    for o in profile.operators:
        parts[o.part] += o.ms
    told = ", ".join(f"{part} {ms:.3g}" for part, ms in parts.items())
    shown = profile.operators[:_OPERATORS_SHOWN]
    rest = profile.operators[_OPERATORS_SHOWN:]

    def table(operators: list[OperatorTime]) -> Markup:
        return bar_table(
            {"": operators},
            "operator",
            lambda o: o.operator,
            _OPERATORS,
            bar=lambda o: o.share,
            colour=lambda o: m.runtime,
            remark=lambda o: f" {o.part}" if o.kernel == "torch" else f" {o.part}, {o.kernel}",
            most=profile.operators[0].share,
            alike=profile.operators,
        )

    return element(
        "div",
        element("h3", f"{m.runtime}, {case_name(m)}"),
        element(
            "p",
            f"{profile.operators_ms:.3g} ms in operators ({told}), of {profile.step_ms:.3g} ms of a step",
            class_="soft",
        ),
        table(shown),
        element("details", element("summary", f"{len(rest)} more"), table(rest)) if rest else None,
    )


def _setting(report: BenchReport) -> list[Markup]:
    machine = dict(report.machine)
    if report.measured_at is not None:
        machine["measured"] = f"{report.measured_at:%Y-%m-%d %H:%M} UTC"
    lists = [
        element("div", element("h3", name), _definitions(values))
        for name, values in (("Machine", machine), ("Workload", report.workload))
    ]
    return [element("section", element("h2", "Setting"), element("div", *lists, class_="setting"))]


def _definitions(values: dict[str, Any]) -> Markup:
    rows = []
    for key, value in values.items():
        if isinstance(value, dict):
            value = ", ".join(f"{name} {part}" for name, part in value.items() if part not in (None, {}, []))
        if key.endswith("_bytes"):
            key, value = key.removesuffix("_bytes"), f"{value / 2**30:.1f} GiB"
        rows.append(element("dt", key.replace("_", " ")))
        rows.append(element("dd", f"{value:.3g}" if isinstance(value, float) else str(value)))
    return element("dl", joined(rows))
