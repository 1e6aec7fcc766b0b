"""`edgetrain train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
            [
                ("best epoch", result.best_epoch),
                ("validation loss", number_text(result.val_loss)),
                ("validation accuracy", percent_text(result.val_accuracy)),
                ("checkpoint", file_text(result.checkpoint)),
                ("to resume from", file_text(result.last)),
                ("history", file_text(result.history_path)),
            ],
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
