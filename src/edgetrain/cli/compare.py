"""`edgetrain compare`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from .command import Invocation
from .inputs import check_input
from .tables import Table
from .text import figure_text, number_text, size_text


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
            [f"  {line}" for entry in entries[1:] for line in _remarks(entry, entries[0])],
        ),
        {"command": "compare", "runs": entries},
    )


def _entry(path: Path, history: Any, first: Any) -> dict[str, Any]:
    from ..artifacts.run_differences import differences

    validated = [epoch for epoch in history.epochs if epoch.val_loss is not None]
    before = next((epoch for epoch in validated if epoch.epoch == 0), None)
    kept = next((epoch for epoch in validated if epoch.epoch == history.best_epoch), None)
    after = kept or (validated[-1] if validated else None)
    # Histories of train didn't always say which epoch was the best.
    untold = history.best_epoch is None and "train" in history.config
    times = [e.train_time_per_sample_s for e in history.epochs if e.train_time_per_sample_s is not None]
    found = differences(history, first)
    return {
        "history": path,
        "runtime": history.runtime,
        "threads": history.threads,
        "steps": history.epochs[-1].steps if history.epochs else 0,
        "epochs": history.epochs[-1].epoch if history.epochs else 0,
        "saved_epoch": None if after is None or untold else after.epoch,
        **{
            f"{metric.name}_{when}": None if epoch is None else epoch.figure("val", metric.name)
            for metric in history.metrics
            for when, epoch in (("before", before), ("after", after))
        },
        "train_loss_rel_difference": _loss_difference(history, first) if found.same_steps else None,
        "time_per_sample_s": sum(times) / len(times) if times else None,
        "peak_rss_bytes": history.peak_rss_bytes,
        "comparable": found.comparable,
        "data_known": found.known,
        "other_source": found.source,
        "other_settings": {key: {"here": a, "first": b} for key, (a, b) in found.settings.items()},
    }


def _remarks(entry: dict[str, Any], first: dict[str, Any]) -> list[str]:
    """What keeps a run from being compared with the first."""
    name, reference, lines = _name(entry["history"]), _name(first["history"]), []
    if not entry["comparable"]:
        lines.append(
            f"not comparable: {name} has other {', '.join(entry['other_source'])} than {reference}, so their "
            "figures are about different things"
        )
    elif entry["other_source"]:
        lines.append(f"{name} began with other weights than {reference}")
    elif not entry["data_known"]:
        lines.append(f"{name} or {reference} is too old to tell whether both saw the same data")
    settings = [
        f"{key} {_short(values['here'])} instead of {_short(values['first'])}"
        for key, values in entry["other_settings"].items()
    ]
    if settings:
        lines.append(f"{name} has other settings than {reference}: {', '.join(settings)}")
    return lines


def _short(value: Any) -> str:
    return "nothing" if value in (None, [], {}) else str(value)


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
        ("saved epoch", _saved),
        *((metric.name.replace("_", " "), functools.partial(_change, metric)) for metric in metrics),
        ("training loss differs by", lambda e: number_text(e["train_loss_rel_difference"], 2)),
        ("time per sample", lambda e: _milliseconds(e["time_per_sample_s"])),
        ("peak memory", lambda e: size_text(e["peak_rss_bytes"])),
    ]
    return [(label, *(show(entry) for entry in entries)) for label, show in figures]


def _saved(entry: dict[str, Any]) -> str:
    return "–" if entry["saved_epoch"] is None else f"{entry['saved_epoch']} of {entry['epochs']}"


def _name(path: Path) -> str:
    return path.name.removesuffix(".json").removesuffix(".history")


def _change(metric: Any, entry: dict[str, Any]) -> str:
    """A metric before and after a run."""
    before, after = entry[f"{metric.name}_before"], entry[f"{metric.name}_after"]
    shown = figure_text(after, is_share=metric.is_share)
    return shown if before is None else f"{figure_text(before, is_share=metric.is_share)} → {shown}"


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1e3 * seconds:.3g} ms"
