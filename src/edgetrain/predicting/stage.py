"""`edgetrain predict`: samples through a model, described, and measured where they have labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..artifacts.commit import check_writable
from ..config.stages import PredictCommand
from ..data import BatchLoader
from ..engine.metrics import Meter
from ..errors import CheckFailedError, UsageError
from ..factories import NOTHING, Trusted, is_factory
from ..reporting import SILENT, Reporter
from ..tasks import Task, make_task, make_task_for_checks
from .confusion import Confusion
from .describing import class_name, describer_for
from .picture import draw_confusion
from .report import PredictReport, save_predictions
from .samples import Samples, find_samples
from .subject import Subject, opened


def predict(
    config: PredictCommand,
    model: Path,
    places: Sequence[Path] = (),
    *,
    is_program: bool,
    weights: Path | None = None,
    output: Path | None = None,
    picture: Path | None = None,
    trusted: Trusted = NOTHING,
    reporter: Reporter = SILENT,
) -> PredictReport:
    """Runs a model on samples.

    Args:
        model: a program with its manifest (`is_program`), or a checkpoint.
        places: image files and folders, or one file of arrays; empty: the data set of the configuration.
        weights: a .ptd in place of the one the program was exported with.
        output: a .csv to write, one line for each sample.
        picture: a .png or .svg of the confusion matrix to write.
        trusted: whose code the caller lets build the model and its loss.
    Raises:
        InputError: a file is missing or damaged, or the samples don't fit the model.
        UsageError: the settings don't fit the model, or there is nothing to draw.
        CheckFailedError: the program crashed, or the model's outputs are not finite.
    """
    for path in (output, picture):
        if path is not None:
            check_writable(path)
    with opened(config.predict, model, weights, trusted, is_program=is_program) as subject:
        measured = not is_factory(subject.task.loss) or subject.task.loss == trusted.loss
        source = str(model)
        task = (
            make_task(subject.task, trusted, source=source)
            if measured
            else make_task_for_checks(subject.task, source=source)
        )
        samples = find_samples(config, places, subject, task, reporter)
        if picture is not None and (task.class_dim is None or not samples.labelled):
            lacking = "its samples have no labels" if task.class_dim is not None else "it predicts no classes"
            raise UsageError(
                f"--picture is of a confusion matrix, and there is none: {lacking}; leave it out"
            )
        report = _predict(config, subject, task, samples, measured, reporter)
    if output is not None:
        save_predictions(output, report.predictions)
    if picture is not None and report.confusion is not None:
        draw_confusion(picture, report.confusion, report.classes or [], f"{model} on {samples.source}")
    return report


def _predict(
    config: PredictCommand,
    subject: Subject,
    task: Task,
    samples: Samples,
    measured: bool,
    reporter: Reporter,
) -> PredictReport:
    settings = config.predict
    report = PredictReport(
        model=subject.path,
        weights=subject.weights,
        source=samples.source,
        task=task.spec.name,
        count=len(samples.split),
        classes=None if task.spec.classes is None else list(task.spec.classes),
        listed=min(len(samples.split), samples.listed if settings.show is None else settings.show),
    )
    preprocessing = {name: spec.preprocessing for name, spec in subject.inputs.items()}
    loader = BatchLoader(samples.split, preprocessing, subject.batch_size)
    meter, confusion = Meter(), Confusion(task)
    with reporter.progress("predicting", total=len(loader)) as bar:
        for batch in loader.epoch(0):
            outputs = subject.compute(batch.inputs)
            _check_finite(outputs, samples, report)
            _describe(
                report, task, outputs, batch.targets if samples.labelled else None, samples, settings.top
            )
            if samples.labelled:
                confusion.add(outputs, batch.targets)
                if measured:
                    loss = task.loss(outputs, batch.targets)
                    meter.add(task.sums(outputs, batch.targets, loss), len(batch))
            bar.advance()
    if samples.labelled and measured:
        report.metrics = task.all_metrics
        figures = meter.figures(report.metrics)
        report.figures = {n: v if v is not None and math.isfinite(v) else None for n, v in figures.items()}
    elif samples.labelled:
        report.notes.append(
            f"no loss or other figures: they need {subject.task.loss}, code that --loss has to confirm"
        )
    if confusion.counts is not None:
        report.confusion = confusion.counts.tolist()
        report.classes = [class_name(task.spec.classes, i) for i in range(len(confusion.counts))]
    return report


def _describe(
    report: PredictReport,
    task: Task,
    outputs: dict[str, Tensor],
    targets: dict[str, Tensor] | None,
    samples: Samples,
    top: int,
) -> None:
    """Adds a batch to the report."""
    describer = describer_for(task, outputs, top)
    known = targets is not None
    # The last column tells what is known.
    report.columns = describer.columns if known else describer.columns[:-1]
    for described in describer.describe(outputs, targets):
        row = len(report.predictions)
        report.predictions.append({"sample": samples.name(row), **described.values})
        if row < report.listed:
            report.cells.append(described.cells if known else described.cells[:-1])


def _check_finite(outputs: dict[str, Tensor], samples: Samples, report: PredictReport) -> None:
    for name, tensor in outputs.items():
        bad = torch.nonzero(~torch.isfinite(tensor))
        if len(bad):
            sample = samples.name(len(report.predictions) + int(bad[0, 0]))
            raise CheckFailedError(
                f"the model's {name} for sample {sample} is not finite; its weights may be damaged, or the "
                "sample be far from what it was trained on"
            )
