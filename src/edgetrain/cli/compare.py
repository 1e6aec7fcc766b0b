"""`edgetrain compare`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from .command import Invocation
from .console import Table, figure_text, number_text, size_text
from .inputs import check_input


def compare(
    run: Invocation,
    histories: Annotated[
        list[Path],
        typer.Argument(metavar="HISTORY.json...", help="histories of 'edgetrain train' or 'finetune'"),
    ],
) -> None:
    for path in histories:
        check_input("compare", path, "history")
    from ..artifacts.history import load_history

    loaded = [load_history(path) for path in histories]
    entries = [_entry(path, history, loaded[0]) for path, history in zip(histories, loaded, strict=True)]
    run.output.result(
        Table(
            "comparison of runs",
            _rows(entries, _common_metrics(loaded)),
            ["", *(_name(path) for path in histories)],
        ),
        {"command": "compare", "runs": entries},
    )


def _entry(path: Path, history: Any, first: Any) -> dict[str, Any]:
    validated = [epoch for epoch in history.epochs if epoch.val_loss is not None]
    before = next((epoch for epoch in validated if epoch.epoch == 0), None)
    after = validated[-1] if validated else None
    times = [e.train_time_per_sample_s for e in history.epochs if e.train_time_per_sample_s is not None]
    return {
        "history": path,
        "runtime": history.runtime,
        "threads": history.threads,
        "steps": history.epochs[-1].steps if history.epochs else 0,
        **{
            f"{metric.name}_{when}": None if epoch is None else epoch.figure("val", metric.name)
            for metric in history.metrics
            for when, epoch in (("before", before), ("after", after))
        },
        "train_loss_rel_difference": _loss_difference(history, first),
        "time_per_sample_s": sum(times) / len(times) if times else None,
        "peak_rss_bytes": history.peak_rss_bytes,
    }


def _common_metrics(histories: list[Any]) -> list[Any]:
    """The metrics that all runs have, the loss last."""
    names = [{metric.name for metric in history.metrics} for history in histories]
    common = [metric for metric in histories[0].metrics if all(metric.name in known for known in names)]
    return [*common[1:], *common[:1]]


def _loss_difference(history: Any, first: Any) -> float | None:
    """The largest relative difference of an epoch's training loss from the first run's; None where the runs
    have no epoch in common."""
    reference = {epoch.epoch: epoch.train_loss for epoch in first.epochs if epoch.train_loss}
    differences = [
        abs(epoch.train_loss - reference[epoch.epoch]) / abs(reference[epoch.epoch])
        for epoch in history.epochs
        if epoch.train_loss is not None and epoch.epoch in reference
    ]
    return max(differences, default=None)


def _rows(entries: list[dict[str, Any]], metrics: list[Any]) -> list[tuple[str, ...]]:
    """A row for each figure, a column for each run."""
    figures: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("runtime", lambda e: e["runtime"]),
        ("threads", lambda e: str(e["threads"])),
        ("steps", lambda e: str(e["steps"])),
        *((metric.name.replace("_", " "), functools.partial(_change, metric)) for metric in metrics),
        ("training loss differs by", lambda e: number_text(e["train_loss_rel_difference"], 2)),
        ("time per sample", lambda e: _milliseconds(e["time_per_sample_s"])),
        ("peak memory", lambda e: size_text(e["peak_rss_bytes"])),
    ]
    return [(label, *(show(entry) for entry in entries)) for label, show in figures]


def _name(path: Path) -> str:
    return path.name.removesuffix(".json").removesuffix(".history")


def _change(metric: Any, entry: dict[str, Any]) -> str:
    """A metric before and after a run."""
    before, after = entry[f"{metric.name}_before"], entry[f"{metric.name}_after"]
    shown = figure_text(after, is_share=metric.is_share)
    return shown if before is None else f"{figure_text(before, is_share=metric.is_share)} → {shown}"


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1e3 * seconds:.3g} ms"
