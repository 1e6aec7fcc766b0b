"""`edgetrain build-runner`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from .command import Invocation
from .inputs import check_input
from .tables import Table
from .text import file_text, size_text


def build_runner(
    run: Invocation,
    programs: Annotated[
        list[Path], typer.Argument(metavar="PROGRAM...", help="the .pte files that the runner is for")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="write DIR/bin and DIR/lib, to copy to a device"),
    ],
    isa: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="instruction sets to have kernels for, as in avx2,avx512, or all "
            "[dim]\\[default: the best one of this machine; with --toolchain: all][/dim]",
        ),
    ] = None,
    toolchain: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CMake's toolchain file of a cross compiler, for another machine"),
    ] = None,
    executorch: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="the package executorch for that machine, with --toolchain"),
    ] = None,
) -> None:
    for program in programs:
        check_input("build-runner", program, "program")
    from ..runtimes.native_build import RUNNER, Target
    from ..runtimes.native_build import build_runner as build

    run.claim([(output / RUNNER, "native runner")], inputs=programs, explicit=True)
    isa = isa or ("all" if toolchain else "native")
    target = Target(toolchain, executorch, () if isa == "all" else tuple(isa.split(",")))
    built = build(programs, output, target, reporter=run.reporter)
    title = f"built a runner for {', '.join(program.name for program in programs)}"
    run.output.result(Table(title, list(rows(built))), {"command": "build-runner", **document(built)})


def rows(built: Any) -> Iterator[tuple[str, str]]:
    """What a table says of a runner that was built."""
    yield "runner", file_text(built.runner)
    yield "folder for a device", size_text(built.folder_bytes)
    yield "operators", str(len(built.needs.operators))
    yield "types of elements", ", ".join(built.needs.types)


def document(built: Any) -> dict[str, Any]:
    """The same for `--json`."""
    return {
        "runner": built.runner,
        "runner_bytes": built.runner_bytes,
        "folder_bytes": built.folder_bytes,
        "operators": built.needs.operators,
        "types": built.needs.types,
    }
