"""`edgetrain compare`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from .command import Invocation
from .console import Table, number_text, percent_text, size_text
from .inputs import check_input


def compare(
    run: Invocation,
    histories: Annotated[
        list[Path],
        typer.Argument(metavar="HISTORY.json...", help="histories of 'edgetrain train' or 'finetune'"),
    ],
) -> None:
    """Put the histories of several runs side by side."""
    for path in histories:
        check_input("compare", path, "history")
    from ..artifacts.history import load_history

    loaded = [load_history(path) for path in histories]
    entries = [_entry(path, history, loaded[0]) for path, history in zip(histories, loaded, strict=True)]
    run.output.result(
        Table("comparison of runs", _rows(entries), ["", *(_name(path) for path in histories)]),
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
        "accuracy_before": getattr(before, "val_accuracy", None),
        "accuracy_after": getattr(after, "val_accuracy", None),
        "loss_before": getattr(before, "val_loss", None),
        "loss_after": getattr(after, "val_loss", None),
        "train_loss_rel_difference": _loss_difference(history, first),
        "time_per_sample_s": sum(times) / len(times) if times else None,
        "peak_rss_bytes": history.peak_rss_bytes,
    }


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


def _rows(entries: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """A row for each figure, a column for each run."""
    figures: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("runtime", lambda e: e["runtime"]),
        ("threads", lambda e: str(e["threads"])),
        ("steps", lambda e: str(e["steps"])),
        ("accuracy", lambda e: _change(e["accuracy_before"], e["accuracy_after"], percent_text)),
        ("loss", lambda e: _change(e["loss_before"], e["loss_after"], number_text)),
        ("training loss differs by", lambda e: number_text(e["train_loss_rel_difference"], 2)),
        ("time per sample", lambda e: _milliseconds(e["time_per_sample_s"])),
        ("peak memory", lambda e: size_text(e["peak_rss_bytes"])),
    ]
    if all(e["accuracy_before"] is None and e["accuracy_after"] is None for e in entries):
        figures = [figure for figure in figures if figure[0] != "accuracy"]
    return [(label, *(show(entry) for entry in entries)) for label, show in figures]


def _name(path: Path) -> str:
    return path.name.removesuffix(".json").removesuffix(".history")


def _change(before: float | None, after: float | None, show: Callable[[float | None], str]) -> str:
    return show(after) if before is None else f"{show(before)} → {show(after)}"


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1e3 * seconds:.3g} ms"
