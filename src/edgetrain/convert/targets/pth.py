"""`--to pth`: an edgetrain checkpoint, which every other stage takes."""

from __future__ import annotations

import time

from ...artifacts.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ...models import build_model
from ...models.states import fill
from ...models.transforms import apply_transforms
from ...runtimes.timing import median_ms
from ..specs import trained_inputs
from ..verification import check_error, compare, in_double, run_batches
from .job import Job, Written, captured_for
from .rebuilding import rebuild
from .task import task_of


def write_pth(job: Job) -> Written:
    """Writes the weights with what it takes to build their model, and builds it again from what was written.

    Raises:
        InputError: the source names no model, and its graph can't be written down.
    """
    source, rebuilt = job.source, rebuild(job)
    path = job.output(".pth")
    checkpoint = Checkpoint(
        model=rebuilt.model,
        state=rebuilt.state,
        inputs=trained_inputs(job.inputs, job.origin),
        targets=source.targets,
        task=task_of(job).spec,
        metrics=source.metrics,
        config=source.config,
        transforms=rebuilt.transforms,
    )
    save_checkpoint(path, checkpoint)
    started = time.perf_counter()
    written = load_checkpoint(path)
    module = apply_transforms(build_model(written.model), written.transforms)
    fill(module, written.state)
    module.eval()
    load_ms = 1e3 * (time.perf_counter() - started)
    batch = rebuilt.batch or 1
    job.step("comparing")
    found, expected = (run_batches(model, job.samples, batch) for model in (module, source.run))
    comparison = compare(found, expected)
    check_error(
        found,
        expected,
        job.config.convert.tolerance,
        lambda: in_double(source.run, job.samples, batch),
    )
    timed = job.example(batch)
    return Written(
        target="pth",
        outputs=[path],
        batch=rebuilt.batch or 0,
        fixed_batch=rebuilt.batch is not None,
        load_ms=load_ms,
        latency_ms=median_ms(lambda: module(*timed)),
        comparison=comparison,
        notes=[]
        if rebuilt.batch is None
        else [f"{captured_for(rebuilt.batch)}, and its checkpoint takes no others"],
    )
