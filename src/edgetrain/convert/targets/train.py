"""`--to train`: the program of `edgetrain export`, with forward and backward graph."""

from __future__ import annotations

import time

from torch import Tensor

from ...artifacts.checkpoint import Checkpoint
from ...artifacts.program import load_program
from ...config.stages import ExportCommand
from ...errors import InputError
from ...export import export_subject
from ...export.pipeline import Subject
from ...runtimes import Session, open_session
from ...runtimes.timing import median_ms
from ...tasks.outputs import named_outputs
from ..specs import trained_inputs
from ..verification import Comparison, check_error, compare, in_double, run_batches
from .job import Job, Written
from .rebuilding import rebuild
from .task import task_of


def write_train(job: Job) -> Written:
    """Exports a model as `edgetrain export` does, verified as there, and compares `predict` with the source.

    Raises:
        InputError: the source has no parameters.
        CheckFailedError: it can't be trained on a device, or computes something else.
    """
    if not job.source.state:
        raise InputError(
            f"{job.origin} is frozen: its weights are constants in its code, and can't be trained; convert "
            "it with --to pte, or convert the file it was made from"
        )
    settings = job.config.export
    rebuilt = rebuild(job)
    if rebuilt.batch is not None and rebuilt.batch > 1:
        raise InputError(
            f"{job.origin} was captured for batches of exactly {rebuilt.batch}; capture it again with a "
            "dynamic batch, or convert it with --to pte"
        )
    if rebuilt.batch == 1:
        settings = settings.model_copy(update={"max_batch_size": 1})
    task, source = task_of(job), job.source
    checkpoint = Checkpoint(
        model=rebuilt.model,
        state={},
        inputs=trained_inputs(job.inputs, job.origin),
        targets=source.targets,
        task=task.spec,
        metrics=source.metrics,
        config=source.config,
        transforms=rebuilt.transforms,
    )
    subject = Subject(
        rebuilt.module,
        task,
        checkpoint,
        ExportCommand(optimizer=job.config.optimizer, export=settings),
        job.origin,
        source.checkpoint,
    )
    job.step("exporting and verifying")
    result = export_subject(subject, job.stem)
    started = time.perf_counter()
    session = open_session("executorch", load_program(result.program), threads=1)
    load_ms = 1e3 * (time.perf_counter() - started)
    job.step("comparing")
    comparison = _compare(job, session)
    timed = dict(zip(job.inputs, job.example(1), strict=True))
    notes = []
    if rebuilt.batch == 1:
        notes.append("it was captured for single samples, so that it trains with batches of 1 only")
    return Written(
        target="train",
        outputs=[
            path for path in (result.program, result.weights, result.manifest_path, result.rules) if path
        ],
        batch=settings.max_batch_size,
        fixed_batch=settings.max_batch_size == 1,
        load_ms=load_ms,
        latency_ms=median_ms(lambda: session.predict(timed)),
        comparison=comparison,
        gradient_error=result.verification.gradients,
        notes=notes,
    )


def _compare(job: Job, session: Session) -> Comparison:
    """Outputs by name, on single samples; they have to be right."""
    source = job.source
    run = source.reference if source.capture is None else source.run
    expected = run_batches(lambda *tensors: named_outputs(run(*tensors)), job.samples, 1)
    names = list(named_outputs(run(*job.example(1))))

    def predict(*tensors: Tensor) -> list[Tensor]:
        outputs = session.predict(dict(zip(job.inputs, tensors, strict=True)))
        return [outputs[name] for name in names]

    found = run_batches(predict, job.samples, 1)
    comparison = compare(found, expected)
    check_error(found, expected, job.config.convert.tolerance, lambda: in_double(run, job.samples, 1))
    return comparison
