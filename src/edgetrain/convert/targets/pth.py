"""`--to pth`: an edgetrain checkpoint, which every other stage takes."""

from __future__ import annotations

import time

from ...artifacts.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ...errors import UsageError
from ...models import build_model
from ...models.transforms import apply_transforms
from ...runtimes.timing import median_ms
from ..verification import check_error, compare, run_batches
from .job import Job, Written
from .task import task_of


def write_pth(job: Job) -> Written:
    """Writes the weights with the name of their model, and builds it again from what was written.

    Raises:
        UsageError: nothing says how to build the model.
    """
    source = job.source
    if source.model is None:
        raise UsageError(
            f"{job.origin} doesn't say how to build its model, which a .pth has to; name it with --model "
            "package.module:factory, or convert with --to pte or --to train"
        )
    path = job.output(".pth")
    checkpoint = Checkpoint(
        model=source.model,
        state=source.state,
        inputs=job.inputs,
        targets=source.targets,
        task=task_of(job).spec,
        metrics=source.metrics,
        config=source.config,
        transforms=source.transforms,
    )
    save_checkpoint(path, checkpoint)
    started = time.perf_counter()
    written = load_checkpoint(path)
    module = apply_transforms(build_model(written.model), written.transforms)
    module.load_state_dict(written.state)
    module.eval()
    load_ms = 1e3 * (time.perf_counter() - started)
    comparison = compare(run_batches(module, job.samples, 1), run_batches(source.reference, job.samples, 1))
    check_error(comparison, job.config.convert.tolerance)
    timed = job.example(1)
    return Written(
        target="pth",
        outputs=[path],
        batch=0,
        fixed_batch=False,
        load_ms=load_ms,
        latency_ms=median_ms(lambda: module(*timed)),
        comparison=comparison,
    )
