"""`edgetrain train`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from ..factories import Trusted
from .command import Invocation
from .inputs import check_input
from .outputs import default_output, ends_in, given
from .pictures import picture_of, run_drawn
from .tables import Table
from .text import figure_text, file_text, number_text
from .torchrun import follows


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
    start: Annotated[
        Path | None,
        typer.Option(
            "--start",
            metavar="FILE.pth",
            help="start from this checkpoint's model and weights, optimized ones too",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on with an interrupted run of the same output")
    ] = False,
    export: Annotated[
        bool,
        typer.Option(
            "--export",
            help="export the checkpoint as well, as 'edgetrain export' does with the same --config",
        ),
    ] = False,
) -> None:
    check_input("train --start", start, "checkpoint")
    checkpoint = output or Path("model.pth")
    if checkpoint.name.endswith(".last.pth"):
        raise UsageError(
            f"{checkpoint} is where a run keeps what it is resumed from; name another with -o, as "
            f"{checkpoint.name.removesuffix('.last.pth')}.pth"
        )
    from ..config.loader import load_config

    exporting = load_config("export", file=run.config_file) if export else None
    from .. import training
    from ..artifacts.checkpoint import load_checkpoint
    from ..artifacts.program_files import program_files

    if run.config.train.qat and start is None:
        raise UsageError("--qat goes on from a trained model; name its checkpoint with --start")
    stem = default_output(checkpoint)
    history = training.history_path(checkpoint)
    picture = picture_of(history, run.config.train.picture)
    files = training.output_files(checkpoint)
    if exporting:
        files |= program_files(stem, exporting.export)
    run.claim(
        [*files.items(), *given(picture, "picture")],
        inputs=[start],
        explicit=output is not None,
        resume=resume,
        interrupted=lambda: training.interrupted_after(checkpoint),
    )
    origin = None if start is None else load_checkpoint(start)
    hook = None
    if run.config.train.qat and start is not None and origin is not None:
        from ..optimize import QatSchedule, start_with_rounding

        origin, hook = start_with_rounding(run.config, origin, start, run.reporter), QatSchedule()
    name = run.config.model.name if origin is None else origin.model.name
    with run_drawn(run, history, picture, f"{name} on {run.config.data.name}: {checkpoint}"):
        result = training.train(
            run.config,
            checkpoint,
            resume=resume,
            start=origin,
            hook=hook,
            reporter=run.reporter,
        )
    exported = None if exporting is None or follows() else _export(run, exporting, checkpoint, stem)
    run.output.result(
        Table(
            f"trained {name} on {run.config.data.name}",
            [*_rows(result, picture), *(_export_rows(exported) if exported else [])],
        ),
        {
            "command": "train",
            "checkpoint": result.checkpoint,
            "last": result.last,
            "history_path": result.history_path,
            "picture": picture,
            "best_epoch": result.best_epoch,
            **{f"val_{name}": value for name, value in result.figures.items()},
            "history": result.history,
            "program": getattr(exported, "program", None),
            "weights": getattr(exported, "weights", None),
            "verification": getattr(exported, "verification", None),
        },
    )


def _export(run: Invocation, config: Any, checkpoint: Path, stem: Path) -> Any:
    from .. import export as stage

    # Model and loss of the training are those this command names.
    trusted = Trusted(model=run.config.model.name, loss=run.config.loss.name)
    return stage.export(config, checkpoint, stem, trusted=trusted, reporter=run.reporter)


def _export_rows(result: Any) -> Iterator[tuple[str, str]]:
    yield "program", file_text(result.program)
    yield "weights", file_text(result.weights) if result.weights else "inside the program"
    yield "largest gradient error", number_text(result.verification.gradients, 2)


def _rows(result: Any, picture: Path | None) -> Iterator[tuple[str, Any]]:
    yield "best epoch", result.best_epoch
    for metric in result.history.metrics:
        shown = figure_text(result.figures[metric.name], is_share=metric.is_share)
        yield f"validation {metric.name.replace('_', ' ')}", shown
    yield "checkpoint", file_text(result.checkpoint)
    yield "to resume from", file_text(result.last)
    yield "history", file_text(result.history_path)
    if picture is not None:
        yield "picture", file_text(picture)
