"""`--to train`: the program of `edgetrain export`, with forward and backward graph."""

from __future__ import annotations

import time

from ...artifacts.checkpoint import Checkpoint
from ...artifacts.program import load_program
from ...artifacts.specs import Task
from ...config.model import ModelConfig
from ...config.stages import ExportCommand
from ...errors import InputError
from ...export import export_module
from ...models.trusted import CONVERTED
from ...runtimes import open_session
from ..verification import check_error, compare, median_ms, run_batches
from .job import Job, Written


def write_train(job: Job) -> Written:
    """Exports a model as `edgetrain export` does, verified as there, and compares `predict` with the source.

    Raises:
        InputError: the source has no parameters, or takes several inputs.
        CheckFailedError: it can't be trained on a device, or computes something else.
    """
    if not job.source.state:
        raise InputError(
            f"{job.origin} is frozen: its weights are constants in its code, and can't be trained; convert "
            "it with --to pte, or convert the file it was made from"
        )
    if len(job.inputs) != 1:
        raise InputError(f"{job.origin} takes {len(job.inputs)} inputs; only models with one can be trained")
    settings = job.config.export
    captured = job.source.captured(job.example(job.source.batch or 2))
    if captured.batch is not None and captured.batch > 1:
        raise InputError(
            f"{job.origin} was captured for batches of exactly {captured.batch}; capture it again with a "
            "dynamic batch, or convert it with --to pte"
        )
    if captured.batch == 1:
        settings = settings.model_copy(update={"max_batch_size": 1})
    checkpoint = Checkpoint(
        model=job.source.model or ModelConfig(name=CONVERTED),
        state={},
        input=job.inputs[0],
        task=task_of(job),
        preprocessing=job.source.preprocessing,
        metrics=job.source.metrics,
        config=job.source.config,
    )
    result = export_module(
        ExportCommand(export=settings), captured.module, checkpoint, job.stem, origin=job.origin
    )
    started = time.perf_counter()
    session = open_session("executorch", load_program(result.program), threads=1)
    load_ms = 1e3 * (time.perf_counter() - started)
    comparison = compare(
        run_batches(session.predict, job.samples, 1), run_batches(job.source.reference, job.samples, 1)
    )
    check_error(comparison, job.config.convert.tolerance)
    timed = job.example(1)[0]
    notes = []
    if captured.batch == 1:
        notes.append("it was captured for single samples, so that it trains with batches of 1 only")
    return Written(
        target="train",
        outputs=[path for path in (result.program, result.weights, result.manifest_path) if path],
        batch=settings.max_batch_size,
        fixed_batch=settings.max_batch_size == 1,
        load_ms=load_ms,
        latency_ms=median_ms(lambda: session.predict(timed)),
        comparison=comparison,
        gradient_error=result.verification.gradients,
        notes=notes,
    )


def task_of(job: Job) -> Task:
    """The source's own, unless a loss is named."""
    chosen = job.config.loss
    if job.source.task is not None and "name" not in chosen.model_fields_set:
        return job.source.task
    return Task(loss=chosen.name, label_smoothing=chosen.label_smoothing)
