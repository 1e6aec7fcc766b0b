"""`edgetrain train`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from .command import Invocation
from .console import Table, file_text, number_text, percent_text
from .outputs import ends_in


def train(
    run: Invocation,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.pth",
            help="checkpoint to write [dim]\\[default: model.pth][/dim]",
            callback=ends_in(".pth"),
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on with an interrupted run of the same output")
    ] = False,
) -> None:
    """Train a model in PyTorch; the best epoch becomes the checkpoint."""
    checkpoint = output or Path("model.pth")
    from .. import training

    files = training.output_files(checkpoint)
    run.claim(files, explicit=output is not None, replace=resume)
    result = training.train(run.config, checkpoint, resume=resume, reporter=run.reporter)
    run.output.result(
        Table(
            f"trained {run.config.model.name} on {run.config.data.name}",
            list(_rows(result)),
        ),
        {
            "command": "train",
            "checkpoint": result.checkpoint,
            "last": result.last,
            "history_path": result.history_path,
            "best_epoch": result.best_epoch,
            "val_loss": result.val_loss,
            "val_accuracy": result.val_accuracy,
            "history": result.history,
        },
    )


def _rows(result: Any) -> Iterator[tuple[str, Any]]:
    yield "best epoch", result.best_epoch
    yield "validation loss", number_text(result.val_loss)
    if result.val_accuracy is not None:
        yield "validation accuracy", percent_text(result.val_accuracy)
    yield "checkpoint", file_text(result.checkpoint)
    yield "to resume from", file_text(result.last)
    yield "history", file_text(result.history_path)
