"""`edgetrain compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .command import Invocation
from .console import Table, number_text, percent_text, size_text

_COLUMNS = (
    "history",
    "runtime",
    "steps",
    "accuracy before",
    "accuracy after",
    "loss before",
    "loss after",
    "training loss vs first",
    "time per sample",
    "peak memory",
)


def compare(
    run: Invocation,
    histories: Annotated[
        list[Path],
        typer.Argument(metavar="HISTORY.json...", help="histories of 'edgetrain train' or 'finetune'"),
    ],
) -> None:
    """Put the histories of several runs side by side."""
    from ..artifacts.history import load_history

    loaded = [load_history(path) for path in histories]
    entries = [_entry(path, history, loaded[0]) for path, history in zip(histories, loaded, strict=True)]
    run.output.result(
        Table("comparison of runs", [_row(entry) for entry in entries], _COLUMNS),
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


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    seconds = entry["time_per_sample_s"]
    return (
        str(entry["history"]),
        entry["runtime"],
        str(entry["steps"]),
        percent_text(entry["accuracy_before"]),
        percent_text(entry["accuracy_after"]),
        number_text(entry["loss_before"]),
        number_text(entry["loss_after"]),
        number_text(entry["train_loss_rel_difference"], 2),
        "–" if seconds is None else f"{1e3 * seconds:.3g} ms",
        size_text(entry["peak_rss_bytes"]),
    )
