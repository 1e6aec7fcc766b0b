"""`edgetrain convert`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from .command import Invocation
from .console import plain
from .errors import FAILED, report
from .tables import Table
from .text import number_text, percent_text, size_text

_COLUMNS = (
    "file",
    "format",
    "result",
    "size",
    "load [ms]",
    "latency [ms]",
    "max error",
    "SQNR [dB]",
    "top-1",
)


def convert(
    run: Invocation,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="checkpoints, TorchScript, .ptl, .pt2, safetensors, or folders"
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="folder to write to, or for one file its name [dim]\\[default: beside each file][/dim]",
        ),
    ] = None,
) -> int | None:
    from .. import convert as stage

    sources = stage.find_files(files)
    pairs = list(zip(sources, _stems(sources, output, _suffix(run.config)), strict=True))
    outputs = [pair for _, stem in pairs for pair in stage.output_files(run.config, stem).items()]
    run.claim(outputs, inputs=[*sources, run.config.convert.inputs], explicit=output is not None)
    result = stage.convert(run.config, pairs, reporter=run.reporter)
    if len(sources) == 1 and result.failures:
        raise result.failures[0].error
    run.output.result(
        Table(
            f"converted {len(result.reports)} of {len(sources)}",
            list(_rows(result.reports)),
            _COLUMNS,
            below=[f"  {done.source}: {note}" for done in result.reports for note in done.notes],
        ),
        {
            "command": "convert",
            "results": [_plain_report(done) for done in result.reports],
            "failures": [
                {"source": f.source, "error": str(f.error), "exit_code": f.error.exit_code}
                for f in result.failures
            ],
        },
    )
    for failure in result.failures:
        report(failure.error)
    return FAILED if result.failures else None


def _suffix(config: Any) -> str:
    return ".pth" if config.convert.to == "pth" else ".pte"


def _stems(sources: Sequence[Path], output: Path | None, suffix: str) -> list[Path]:
    """Where each file's result goes, without suffix; net.pt and net.ptl, which would collide, keep theirs."""
    if output is not None and output.suffix in (".pte", ".pth"):
        if len(sources) != 1 or output.suffix != suffix:
            several = (
                "names one file, but several are converted" if len(sources) != 1 else f"must end in {suffix}"
            )
            raise UsageError(f"-o {output} {several}; name a folder")
        return [output.with_suffix("")]
    from ..convert import stem_of

    stems = [(path.parent if output is None else output) / stem_of(path) for path in sources]
    counts = Counter(stems)
    return [
        stem if counts[stem] == 1 else stem.with_name(path.name)
        for stem, path in zip(stems, sources, strict=True)
    ]


def _rows(reports: Sequence[Any]) -> Iterator[tuple[str, ...]]:
    for done in reports:
        found = done.comparison
        yield (
            str(done.source),
            done.format,
            f"{done.outputs[0]}: {done.target}{_delegated(done.delegated)}",
            f"{size_text(done.bytes_before)} → {size_text(done.bytes_after)}",
            _change(done.load_ms_before, done.load_ms_after),
            _change(done.latency_ms_before, done.latency_ms_after),
            number_text(found.max_error, 2),
            number_text(found.sqnr_db, 3),
            percent_text(found.top1),
        )


def _delegated(counts: tuple[int, int] | None) -> str:
    return "" if counts is None else f", {counts[0]} of {counts[1]} operators delegated"


def _change(before: float, after: float | None) -> str:
    return f"{number_text(before, 3)} → {number_text(after, 3)}"


def _plain_report(done: Any) -> Any:
    return plain({**vars(done), "comparison": vars(done.comparison)})
