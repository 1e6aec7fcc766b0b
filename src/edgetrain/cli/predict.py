"""`edgetrain predict`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from ..factories import Trusted
from .command import Invocation, LossOption, ModelOption, WeightsOption
from .inputs import check_input
from .outputs import ends_in, given
from .tables import Table
from .text import figure_text, percent_text

# More classes make lines that are too long; then the pairs that are mixed up most are listed.
_WIDEST, _PAIRS = 16, 10
_NAME = 12


def predict(
    run: Invocation,
    subject: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="program (.pte) from 'edgetrain export', or checkpoint (.pth)"),
    ],
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[INPUT]...",
            help="images, folders of images, or a .npz, .safetensors or packed .ptd file; default: the data "
            "set of the training, or that of --data",
        ),
    ] = None,
    weights: WeightsOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.csv",
            help="also write a line for each sample",
            callback=ends_in(".csv"),
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture",
            metavar="FILE.png",
            help="also draw the confusion matrix; .svg works, too",
            callback=ends_in(".png", ".svg"),
        ),
    ] = None,
    model: ModelOption = None,
    loss: LossOption = None,
) -> None:
    is_program = subject.suffix != ".pth"
    check_input("predict", subject, "program" if is_program else "checkpoint")
    check_input("predict --weights", weights, "file of weights")
    places = inputs or []
    run = _with_data(run, subject, places, is_program)
    from .. import predicting

    run.claim(
        [*given(output, "table of predictions"), *given(picture, "picture")],
        inputs=[subject, weights, subject.with_suffix(".ptd"), subject.with_suffix(".json"), *places],
        explicit=True,
    )
    report = predicting.predict(
        run.config,
        subject,
        places,
        is_program=is_program,
        weights=weights,
        output=output,
        picture=picture,
        trusted=Trusted(model, loss),
        reporter=run.reporter,
    )
    rows = [(report.predictions[i]["sample"], *cells) for i, cells in enumerate(report.cells)]
    run.output.result(
        Table(
            f"{subject} on {report.source}",
            rows,
            ("sample", *report.columns) if rows else (),
            list(_below(report)),
            numbers=("score", "right"),
        ),
        {
            "command": "predict",
            **report.model_dump(exclude={"columns", "cells", "listed"}),
            "output": output,
            "picture": picture,
        },
    )


def _with_data(run: Invocation, model: Path, places: Sequence[Path], is_program: bool) -> Invocation:
    """With the data set to predict where no inputs are named."""
    if places:
        given = set(run.config.data.model_dump(exclude_unset=True)) - {"inputs", "targets", "skip_corrupt"}
        if given and run.config_file is None:
            raise UsageError(
                f"{places[0]} and data.{min(given)} both say what is predicted; leave one of them out"
            )
        return run
    from .recorded_data import with_data_of_checkpoint, with_recorded_data

    if is_program:
        return with_recorded_data(run, model)
    filled, known = with_data_of_checkpoint(run, model)
    if not known:
        raise UsageError(f"{model} doesn't say what it was trained on; name images, a file or --data")
    return filled


def _below(report: Any) -> Iterator[str]:
    """What is told of all samples."""
    more = report.count - report.listed
    if more:
        yield f"{more} more; --show {report.count} lists them, -o FILE.csv and --json have all"
    yield from report.notes
    if report.figures is not None:
        shares = {metric.name for metric in report.metrics if metric.is_share}
        told = (
            f"{name.replace('_', ' ')} {figure_text(value, is_share=name in shares)}"
            for name, value in report.figures.items()
        )
        yield f"{report.count} samples: {', '.join(told)}"
    if report.confusion is not None:
        yield ""
        yield from _confusion(report.confusion, report.classes)


def _confusion(counts: list[list[int]], classes: list[str]) -> Iterator[str]:
    if len(counts) > _WIDEST:
        yield from _mixed_up(counts, classes)
        return
    names = [name if len(name) <= _NAME else f"{name[: _NAME - 1]}…" for name in classes]
    first = max(map(len, names))
    width = max(first, *(len(str(count)) for row in counts for count in row)) + 2
    yield "confusion matrix (rows: label, columns: prediction)"
    yield " " * first + "".join(f"{name:>{width}}" for name in names) + f"{'right':>11}"
    for name, row, label in zip(names, counts, range(len(counts)), strict=True):
        share = percent_text(row[label] / sum(row) if sum(row) else None)
        yield f"{name:>{first}}" + "".join(f"{count:>{width}}" for count in row) + f"{share:>11}"


def _mixed_up(counts: list[list[int]], classes: list[str]) -> Iterator[str]:
    pairs = [
        (count, label, found)
        for label, row in enumerate(counts)
        for found, count in enumerate(row)
        if count and label != found
    ]
    yield "most often mixed up (label → prediction)" if pairs else "no class was taken for another"
    for count, label, found in sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))[:_PAIRS]:
        yield f"{count:>8}  {classes[label]} → {classes[found]}"
