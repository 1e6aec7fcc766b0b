"""One file from start to end, in this process."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from ..artifacts.specs import parse_spec
from ..config.stages import ConvertCommand
from ..errors import InputError
from ..runtimes.timing import median_ms
from .kinds import Identified
from .readers import read_source
from .report import FileReport
from .samples import random_samples, read_samples
from .shapes import find_inputs, shape_text
from .targets import TARGETS, Job
from .verification import run_batches


def convert_file(config: ConvertCommand, found: Identified, stem: Path) -> FileReport:
    """Reads, converts and verifies a file.

    Args:
        stem: where to write, without suffix; the folder exists.
    Raises:
        InputError: the file is unusable.
        UsageError: it takes a flag that was not given.
        CheckFailedError: it can't be converted, or the result differs from it.
    """
    settings = config.convert
    origin = str(found.path)
    started = time.perf_counter()
    source = read_source(found, settings)
    load_ms = 1e3 * (time.perf_counter() - started)
    given = [parse_spec(text) for text in settings.input_shape]
    inputs = find_inputs(source, given, origin)
    if settings.inputs is not None:
        samples = read_samples(settings.inputs, inputs)
    else:
        samples = random_samples(list(inputs.values()), source.state, settings.seed)
    batch = source.batch or 1
    _check_repeatable(source.reference, samples, batch, origin)
    job = Job(config, source, origin, inputs, samples, stem)
    timed = job.example(batch)
    with torch.no_grad():
        latency_ms = median_ms(lambda: source.reference(*timed))
    written = TARGETS[settings.to](job)
    shapes = [shape_text(spec) for spec in inputs.values()]
    detected = not given and source.inputs is None
    return FileReport(
        source=found.path,
        format=source.format,
        target=written.target,
        outputs=written.outputs,
        inputs=shapes,
        batch=written.batch,
        fixed_batch=written.fixed_batch,
        bytes_before=found.bytes,
        bytes_after=sum(path.stat().st_size for path in written.outputs),
        load_ms_before=load_ms,
        load_ms_after=written.load_ms,
        latency_ms_before=latency_ms,
        latency_ms_after=written.latency_ms,
        comparison=written.comparison,
        gradient_error=written.gradient_error,
        notes=[
            *source.notes,
            *([f"its input shape was found out: {', '.join(shapes)}"] if detected else []),
            *written.notes,
        ],
    )


def _check_repeatable(reference: object, samples: list[torch.Tensor], batch: int, origin: str) -> None:
    """A source that gives another result each time can't be compared with anything."""
    assert callable(reference)
    few = [tensor[:batch] for tensor in samples]
    first, second = (run_batches(reference, few, batch) for _ in range(2))
    if not all(torch.equal(a, b) for a, b in zip(first, second, strict=True)):
        raise InputError(
            f"{origin} gives other results each time; it may have been captured in training mode: capture "
            "it again after model.eval()"
        )
