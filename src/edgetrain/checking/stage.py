"""`edgetrain check`: exported into a temporary folder, compared with PyTorch, and timed."""

from __future__ import annotations

import time
from pathlib import Path

from ..artifacts.temporary import scratch_folder
from ..config.stages import CheckCommand
from ..errors import CheckFailedError, EdgetrainError
from ..export.batches import MakeBatch, batch_maker
from ..export.pipeline import Subject
from ..export.stage import Unverified, write_unverified
from ..export.stations import UNVERIFIED, Done, Stations, shown
from ..reporting import SILENT, Reporter
from ..runner import find_runner
from ..runtimes.native_steps import NativeSteps
from .correctness import compare_runtimes
from .report import CheckReport
from .speed import time_steps
from .subject import subject_of

_STATIONS: Stations = {**UNVERIFIED, "compared": ("comparing", 6.0), "timed": ("timing", 4.0)}


def check(
    config: CheckCommand, checkpoint: Path | None = None, *, reporter: Reporter = SILENT
) -> CheckReport:
    """Checks a model. A model that can't be trained is no exception: the report says so.

    Args:
        checkpoint: its model is checked, rather than the configuration's.
    Raises:
        InputError: the checkpoint is unusable, or the model fails on its inputs.
        UsageError: the model can't be built, or what it takes isn't known.
    """
    return check_subject(config, subject_of(config, checkpoint), reporter=reporter)


def check_subject(
    config: CheckCommand, subject: Subject, *, name: str | None = None, reporter: Reporter = SILENT
) -> CheckReport:
    """Checks a model that is built already. Its parameters may be frozen by that.

    Args:
        name: what the report calls it.
    """
    report = CheckReport(
        model=name or str(subject.path or subject.origin),
        inputs={n: [*spec.shape, spec.dtype] for n, spec in subject.source.inputs.items()},
        task=subject.task.spec.name,
        loss=subject.task.spec.loss,
        parameters=sum(p.numel() for p in subject.module.parameters()),
        batch_norm=config.check.batch_norm,
        exports=False,
    )
    with (
        shown(reporter, "checking", _STATIONS) as reached,
        scratch_folder() as folder,
    ):
        try:
            _fill(report, config, subject, folder, reporter, reached)
        except CheckFailedError as error:
            report.reason = str(error)
    return report


def _fill(
    report: CheckReport,
    config: CheckCommand,
    subject: Subject,
    folder: Path,
    reporter: Reporter,
    reached: Done,
) -> None:
    make_batch = batch_maker(subject)
    made = _export(report, subject, folder / "model", make_batch, reporter, reached)
    report.exports = True
    contract = made.written.program.manifest.contract
    report.arena_bytes = {name: sum(method.arena_bytes) for name, method in contract.methods.items()}
    report.operators = sorted({name for names in made.lowered.operators.values() for name in names})
    if find_runner() is not None:
        report.stock_operators = NativeSteps(made.written.program).stock_operators()
    found = compare_runtimes(made.written.program, made.subject, config, make_batch)
    report.runs, report.notes = found.runs, found.notes
    reached("compared")
    if config.check.timed_steps:
        batch = make_batch(0, config.check.batch_size)
        try:
            report.step_ms = time_steps(
                made.written.program.path, config, made.subject.config.optimizer, batch
            )
        except EdgetrainError as error:
            report.notes.append(f"not timed: {error}")
    reached("timed")


def _export(
    report: CheckReport,
    subject: Subject,
    stem: Path,
    make_batch: MakeBatch,
    reporter: Reporter,
    reached: Done,
) -> Unverified:
    last = time.perf_counter()

    def done(station: str) -> None:
        nonlocal last
        now = time.perf_counter()
        report.export_seconds[station] = round(now - last, 3)
        last = now
        reached(station)

    return write_unverified(subject, stem, make_batch, reporter=reporter, done=done)
