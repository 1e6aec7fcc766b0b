"""The convert stage: files of any known format become programs or checkpoints that are compared with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ..artifacts.commit import check_writable, written_together
from ..artifacts.kinds import Written
from ..artifacts.program_files import program_files
from ..config.stages import ConvertCommand
from ..errors import CheckFailedError, EdgetrainError, InputError
from ..reporting import SILENT, Progress, Reporter
from ..runtimes.child import Child, TimeLimitError
from .kinds import Identified, identify
from .report import ConvertResult, Failure, FileReport, ignored_step
from .worker import Failed, Worker


def convert(
    config: ConvertCommand, files: Sequence[tuple[Path, Path]], *, reporter: Reporter = SILENT
) -> ConvertResult:
    """Converts files one after the other; what fails doesn't stop the others.

    Files are read in a child process with limits of time and memory, which also runs what is in them.

    Args:
        files: pairs of a source and the stem to write at: DIR/NAME for DIR/NAME.pte.
    """
    reports: list[FileReport] = []
    failures: list[Failure] = []
    with reporter.progress("converting", total=len(files)) as progress, _Workers(config) as workers:
        for source, stem in files:
            progress.advance(0, now=source.name)
            workers.told = partial(_show, progress, source.name)
            try:
                report = _convert_one(workers, source, stem)
                reports.append(report)
            except EdgetrainError as error:
                failures.append(Failure(source, error))
            progress.advance(now=source.name)
    return ConvertResult(reports, failures)


def _show(progress: Progress, name: str, step: str) -> None:
    progress.advance(0, now=f"{name}: {step}")


def output_files(config: ConvertCommand, stem: Path) -> dict[Path, Written]:
    """Every file a conversion writes at a stem, and what it holds."""
    if config.convert.to == "train":
        return program_files(stem, config.export)
    name = f"{stem.name}.{config.convert.to}"
    return {stem.with_name(name): "checkpoint" if config.convert.to == "pth" else "program"}


def _convert_one(workers: _Workers, source: Path, stem: Path) -> FileReport:
    """Converts into a folder of its own; what is finished is moved to its place together."""
    found = identify(source)
    for path in output_files(workers.config, stem):
        check_writable(path)
    with written_together(stem) as folder:
        report = workers.convert(found, folder / stem.name)
    outputs = [stem.with_name(path.name) for path in report.outputs]
    return FileReport(**{**vars(report), "outputs": outputs})


class _Workers:
    """One child process after the other: one starts with the first file, another follows when it dies."""

    def __init__(self, config: ConvertCommand) -> None:
        self.config = config
        self.told: Callable[[str], None] = ignored_step
        self._child: Child | None = None

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._child is not None:
            self._child.close()
        self._child = None

    def convert(self, found: Identified, stem: Path) -> FileReport:
        settings = self.config.convert
        try:
            if self._child is None:
                self._child = Child(Worker, self.config, what="converting", told=lambda step: self.told(step))
            answer = self._child.call("convert", found, stem, timeout=settings.time_limit)
        except TimeLimitError as error:
            self.close()
            raise InputError(
                f"{found.path} took more than {settings.time_limit} s and was given up; raise --time-limit "
                "if that is right"
            ) from error
        except (CheckFailedError, MemoryError) as error:
            self.close()
            raise InputError(f"{found.path} is damaged, or too large to convert: {error}") from error
        if isinstance(answer, Failed):
            raise answer.error from answer.cause
        report: FileReport = answer
        return report
