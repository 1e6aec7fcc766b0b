"""`edgetrain optimize`: a checkpoint in; a smaller, faster one out, or its int8 program; figures of each.

Every step leaves a checkpoint in NAME.steps, from which a run that was interrupted goes on.
"""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..artifacts.atomic import write_text
from ..artifacts.checkpoint import load_checkpoint, save_checkpoint
from ..artifacts.commit import check_writable, written_together
from ..artifacts.kinds import Written
from ..artifacts.manifest import file_record
from ..artifacts.optimization import Measured, OptimizationReport, save_report
from ..artifacts.temporary import scratch_folder
from ..config.stages import OptimizeCommand
from ..engine.hashing import weights_hash
from ..errors import InputError, UsageError
from ..factories import NOTHING, Trusted
from ..reporting import SILENT, Reporter
from .measure import measure
from .steps import STEPS, Done, Step
from .work import Work, open_work


@dataclass(frozen=True)
class OptimizeResult:
    """What was written, and the figures of each step.

    Attributes:
        checkpoint: None where only a program was asked for.
        program: int8, for inference; None without quantization.
        plot: what each layer loses to rounding; None without quantization.
    """

    checkpoint: Path | None
    program: Path | None
    plot: Path | None
    report_path: Path
    report: OptimizationReport


def output_files(config: OptimizeCommand, output: Path) -> dict[Path, Written]:
    """All files that an optimization leaves, and what each holds, the named one first; those in NAME.steps
    aside."""
    files: dict[Path, Written] = {
        output: "program" if output.suffix == ".pte" else "checkpoint",
        _beside(output, ".optimize.json"): "optimization report",
    }
    if config.optimize.quantize != "none":
        files |= {_program_path(output): "program", _beside(output, ".quantization.png"): "picture"}
    return files


def optimize(
    config: OptimizeCommand,
    checkpoint: Path,
    output: Path,
    *,
    with_data: bool = True,
    resume: bool = False,
    trusted: Trusted = NOTHING,
    reporter: Reporter = SILENT,
) -> OptimizeResult:
    """Optimizes a checkpoint: surgery, pruning, quantization, as far as `config.optimize` asks for them.

    Args:
        output: a .pth, or the .pte of an int8 program alone.
        with_data: `config.data` is there; without it nothing is trained or calibrated, and no accuracy told.
        resume: go on with a run of the same output and settings.
        trusted: the code of model and loss that the caller vouches for.
    Raises:
        UsageError: the settings don't fit the model, or data is needed.
        InputError: the checkpoint, or data, is unusable.
        CheckFailedError: a step gives a model that can't be lowered, or computes something else.
    """
    for path in output_files(config, output):
        check_writable(path)
    source = load_checkpoint(checkpoint)
    steps = [step for step in STEPS if step.wanted(config.optimize)]
    if not steps:
        raise UsageError(
            "nothing is asked for; name --surgery, --prune or --quantize, or a recipe with --config"
        )
    if output.suffix == ".pte" and config.optimize.quantize == "none":
        raise UsageError(f"{output} would be an int8 program; ask for one with --quantize, or name a .pth")
    work = open_work(config, source, checkpoint, trusted, reporter, with_data=with_data)
    if work.is_observed and (config.optimize.quantize != "qat" or len(steps) > 1):
        raise UsageError(
            f"{checkpoint} is quantized already; its int8 program comes with --quantize qat alone, all else "
            "starts from the checkpoint it was made from"
        )
    trial = replace(work, model=copy.deepcopy(work.model), reporter=SILENT)
    for step in steps:
        trial = step.check(trial)
    folder = _beside(output, ".steps")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}, where the steps' checkpoints go, is a file; choose another -o")
    folder.mkdir(exist_ok=True)
    if not resume:
        for path in folder.glob("[0-9]-*"):
            path.unlink()
    run = _Run(work, folder, resume)
    run.measure_as_it_was()
    with reporter.progress("optimizing", total=len(steps)) as progress:
        for step in steps:
            progress.advance(0, now=step.name)
            run.take(step)
            progress.advance(1, now=step.name)
    return _finish(config, output, run)


class _Run:
    """The steps so far."""

    def __init__(self, work: Work, folder: Path, resume: bool) -> None:
        self.work = work
        self.folder = folder
        self.measured: list[Measured] = []
        self.details: dict[str, Any] = {}
        self.artifacts: dict[str, Path] = {}
        self._resume = resume
        # By what a step depends on, it is known again: the model, the settings, and files that these name.
        settings = work.config.optimize
        files = [path for path in (settings.surgery_rules, settings.calibration) if path is not None]
        self._key = _digest(
            [
                weights_hash(work.checkpoint.state),
                [transform.model_dump(mode="json") for transform in work.checkpoint.transforms],
                work.config.model_dump(mode="json"),
                [file_record(path).sha256 if path.is_file() else None for path in files],
            ]
        )

    def measure_as_it_was(self) -> None:
        work = self.work.as_float()
        self.measured.append(self._recorded("0-before", lambda: self._measure("as it was", work)))

    def take(self, step: Step) -> None:
        """Takes a step, or what is there of it."""
        number = len(self.measured)
        stem = self.folder / f"{number}-{step.name}"
        record, checkpoint = stem.with_suffix(".json"), stem.with_suffix(".pth")
        found = self._found(record)
        if found is not None and checkpoint.is_file():
            self.work.reporter.info(f"{step.name} is done already")
            done = Done(
                self.work.reloaded(load_checkpoint(checkpoint), checkpoint),
                found["details"],
                {kind: self.folder / name for kind, name in found["files"].items()},
                found["measured"] and Measured.model_validate(found["measured"]),
            )
        else:
            done = step.take(self.work, stem, self._resume)
            done.work.save(checkpoint)
            if done.measured is None:
                done = replace(done, measured=self._measure(step.title(self.work.config.optimize), done.work))
            self._note(record, done)
        assert done.measured is not None
        self.work = done.work
        self.measured.append(done.measured)
        self.details[step.name] = done.details
        self.artifacts |= done.files

    def _measure(self, title: str, work: Work) -> Measured:
        with scratch_folder() as folder:
            return measure(
                title,
                work.model,
                work.example,
                work.dataset,
                work.task,
                work.config.train.eval_batch_size,
                folder,
                work.reporter,
            )

    def _recorded(self, name: str, compute: Callable[[], Measured]) -> Measured:
        record = self.folder / f"{name}.json"
        found = self._found(record)
        if found is not None:
            return Measured.model_validate(found["measured"])
        measured = compute()
        self._note(record, Done(self.work, {}, {}, measured))
        return measured

    def _found(self, record: Path) -> dict[str, Any] | None:
        """What a run with the same model and settings noted."""
        if not self._resume or not record.is_file():
            return None
        try:
            found = json.loads(record.read_text())
            if found["key"] != self._key:
                raise UsageError(
                    "the run can't be resumed with another checkpoint or other settings; start anew without "
                    "--resume"
                )
            return dict(found)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{record} is damaged; start anew without --resume") from error

    def _note(self, record: Path, done: Done) -> None:
        assert done.measured is not None
        document = {
            "key": self._key,
            "measured": done.measured.model_dump(mode="json"),
            "details": done.details,
            "files": {kind: path.name for kind, path in done.files.items()},
        }
        write_text(record, json.dumps(document, indent=2) + "\n")


def _finish(config: OptimizeCommand, output: Path, run: _Run) -> OptimizeResult:
    """Puts results in their places, together."""
    found = {
        "program": (run.artifacts.get("program"), _program_path(output)),
        "plot": (run.artifacts.get("plot"), _beside(output, ".quantization.png")),
    }
    report = OptimizationReport(
        steps=run.measured, details=run.details, config=config.model_dump(mode="json")
    )
    report_path = _beside(output, ".optimize.json")
    has_checkpoint = output.suffix != ".pte"
    with written_together(output.with_suffix("")) as folder:
        for source, target in found.values():
            if source is not None:
                shutil.copyfile(source, folder / target.name)
        if has_checkpoint:
            # Those of the weights in it: an int8 program's are in the report.
            rounded = config.optimize.quantize not in ("none", "qat")
            figures = run.measured[-2 if rounded else -1].figures
            metrics = {f"val_{name}": value for name, value in figures.items()}
            final = replace(run.work.checkpoint, training=None, metrics=metrics)
            save_checkpoint(folder / output.name, final)
        save_report(folder / report_path.name, report)
    paths = {kind: target if source is not None else None for kind, (source, target) in found.items()}
    return OptimizeResult(
        output if has_checkpoint else None, paths["program"], paths["plot"], report_path, report
    )


def _program_path(output: Path) -> Path:
    return output if output.suffix == ".pte" else _beside(output, ".int8.pte")


def _beside(output: Path, suffix: str) -> Path:
    return output.with_name(output.stem + suffix)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
