"""`edgetrain export FILE --model NAME --input-shape SHAPE`: weights that nobody has made a checkpoint of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from .command import Invocation
from .console import plain
from .tables import Table
from .text import file_text, number_text


def export_weights(
    run: Invocation, file: Path, stem: Path, *, model: str | None, shapes: Sequence[str], explicit: bool
) -> None:
    """Does what `convert --to train` does.

    Args:
        stem: where to write, without suffix.
        explicit: the user named it.
    """
    if model is None:
        raise UsageError("--input-shape is for weights that are no checkpoint of edgetrain: add --model NAME")
    from ..artifacts.program_files import program_files

    run.claim(list(program_files(stem, run.config.export).items()), inputs=[file], explicit=explicit)
    from .. import convert as stage
    from ..config.convert import ConvertConfig
    from ..config.stages import ConvertCommand

    settings = ConvertConfig.model_validate({"to": "train", "model": model, "input_shape": list(shapes)})
    config = ConvertCommand(convert=settings, optimizer=run.config.optimizer, export=run.config.export)
    result = stage.convert(config, [(file, stem)], reporter=run.reporter)
    if result.failures:
        raise result.failures[0].error
    report = result.reports[0]
    rows = [
        ("model", model),
        *((path.suffix.removeprefix("."), file_text(path)) for path in report.outputs),
        ("largest error of a gradient", number_text(report.gradient_error, 2)),
    ]
    run.output.result(
        Table(f"exported {file}, {report.format}", rows, below=[f"  {note}" for note in report.notes]),
        {"command": "export", "conversion": plain({**vars(report), "comparison": vars(report.comparison)})},
    )
