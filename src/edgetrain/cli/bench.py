"""`edgetrain bench`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..factories import Trusted
from ..runner import find_runner, how_to_build
from .command import Invocation, LossOption, ModelOption, WeightsOption
from .console import plain
from .inputs import check_input
from .outputs import ends_in, given
from .tables import Table
from .text import number_text
from .typed import typed

# Narrow enough for a terminal of 80 columns; the report has all figures.
_COLUMNS = (
    "runtime",
    "threads",
    "batch",
    "median\n[ms]",
    "p95\n[ms]",
    "vs\ntorch",
    "memory\n[MiB]",
    "loss\nerror",
)
_PROFILE_COLUMNS = ("operator", "kernel", "part", "calls", "[ms]", "share\n[%]")
_MOST_OPERATORS = 12


def bench(
    run: Invocation,
    program: Annotated[Path, typer.Argument(metavar="PROGRAM.pte", help="program from 'edgetrain export'")],
    weights: WeightsOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.json",
            help="report to write, with a plot beside it [dim]\\[default: bench.json][/dim]",
            callback=ends_in(".json"),
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE.html",
            help="also write the report as one page for a browser",
            callback=ends_in(".html"),
        ),
    ] = None,
    model: ModelOption = None,
    loss: LossOption = None,
) -> None:
    check_input("bench", program, "program")
    check_input("bench --weights", weights, "file of weights")
    from .recorded_data import with_recorded_data

    run = with_recorded_data(run, program)
    path = output or Path("bench.json")
    inputs = [program, weights, program.with_suffix(".ptd"), program.with_suffix(".json")]
    run.claim(
        [(path, "bench report"), (path.with_suffix(".png"), "picture")],
        named=given(page, "web page"),
        inputs=inputs,
        explicit=output is not None,
    )
    if not run.config.bench.runtimes and find_runner() is None:
        run.reporter.warn(f"the native runner is not installed, so it is left out; {how_to_build()}")
    from .. import bench as stage

    trusted = Trusted(model, loss)
    result = stage.bench(
        run.config,
        program,
        path,
        weights=weights,
        page=page,
        command=typed(),
        trusted=trusted,
        reporter=run.reporter,
    )
    report = plain(result.report)
    below = [] if result.page is None else [f"  page in {result.page}"]
    table, *profiles = result_tables(f"{program}: report in {result.path}", report["results"], below)
    run.output.result(
        table,
        {"command": "bench", **report, "path": result.path, "plot": result.plot, "page": result.page},
        *profiles,
    )


def result_tables(
    title: str, results: Sequence[dict[str, Any]], below: Sequence[str] = ()
) -> Iterator[Table]:
    """The figures of all runtimes, and the operators of those that were profiled."""
    yield Table(title, [_row(entry) for entry in results], _COLUMNS, below, _COLUMNS[1:])
    yield from (_profile(entry) for entry in results if entry.get("profile"))


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    memory = entry["peak_rss_bytes"]
    return (
        entry["runtime"],
        str(entry["threads"]),
        str(entry["batch_size"]),
        number_text(entry["step_ms"]["median"]),
        number_text(entry["step_ms"]["p95"]),
        number_text(entry["ratio_to_torch"], 3),
        "–" if memory is None else f"{memory / 2**20:.1f}",
        number_text(entry["max_loss_rel_error"], 2),
    )


def _profile(entry: dict[str, Any]) -> Table:
    """Where the time of one runtime's steps goes."""
    profile = entry["profile"]
    operators = profile["operators"]
    rows = [
        (
            operator["operator"].removeprefix("aten::"),
            operator["kernel"],
            operator["part"],
            f"{operator['calls']:g}",
            f"{operator['ms']:.4f}",
            f"{100 * operator['share']:.1f}",
        )
        for operator in operators[:_MOST_OPERATORS]
    ]
    rest = operators[_MOST_OPERATORS:]
    if rest:
        calls, ms, share = (sum(operator[name] for operator in rest) for name in ("calls", "ms", "share"))
        rows.append((f"({len(rest)} more)", "", "", f"{calls:g}", f"{ms:.4f}", f"{100 * share:.1f}"))
    threads = "1 thread" if entry["threads"] == 1 else f"{entry['threads']} threads"
    parts = {
        part: sum(operator["ms"] for operator in operators if operator["part"] == part)
        for part in ("forward", "backward", "update")
    }
    told = ", ".join(f"{part} {number_text(ms, 3)}" for part, ms in parts.items())
    return Table(
        f"{entry['runtime']}, {threads}, batch {entry['batch_size']}: operators of a step",
        rows,
        _PROFILE_COLUMNS,
        [
            f"  {number_text(profile['operators_ms'], 3)} ms in operators ({told}), of "
            f"{number_text(profile['step_ms'], 3)} ms of a step while it was profiled"
        ],
        _PROFILE_COLUMNS[3:],
    )
