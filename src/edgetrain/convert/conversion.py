"""One file from start to end, in this process."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..config.convert import ConvertConfig
from ..config.stages import ConvertCommand
from ..errors import InputError
from ..runtimes.timing import median_ms
from .calling import Called, Manner, flat_outputs, is_plain
from .kinds import Identified
from .readers import read_source
from .report import Comparison, FileReport, ignored_step
from .samples import random_samples, read_samples
from .shapes import find_inputs, shape_text
from .source import Runnable, Source
from .specs import ModelInput, parse_input
from .verification import run_batches


def convert_file(
    config: ConvertCommand, found: Identified, stem: Path, step: Callable[[str], None] = ignored_step
) -> FileReport:
    """Reads, converts and verifies a file.

    Args:
        stem: where to write, without suffix; the folder exists.
        step: told what is being done.
    Raises:
        InputError: the file is unusable.
        UsageError: it takes a flag that was not given.
        CheckFailedError: it can't be converted, or the result differs from it.
    """
    settings = config.convert
    origin = str(found.path)
    step("reading")
    started = time.perf_counter()
    source = read_source(found, settings)
    load_ms = 1e3 * (time.perf_counter() - started)
    inputs = _called_with(source, settings, origin)
    if settings.inputs is not None:
        samples = read_samples(settings.inputs, inputs)
    else:
        samples = random_samples(list(inputs.values()), source.state, settings.seed)
    batch = source.batch or 1
    _check_repeatable(source.run, samples, batch, origin)
    # What exports takes seconds to load: by now it is known to be needed.
    from .targets import TARGETS, Job

    job = Job(config, source, origin, inputs, samples, stem, step)
    step("capturing")
    timed = job.example(batch)
    with torch.no_grad():
        latency_ms = median_ms(lambda: source.run(*timed))
    written = TARGETS[settings.to](job)
    shapes = [shape_text(spec) for spec in inputs.values()]
    detected = not settings.input_shape and source.inputs is None
    returned = list(flat_outputs(source.run(*timed)))
    return FileReport(
        source=found.path,
        format=source.format,
        target=written.target,
        outputs=written.outputs,
        inputs=shapes,
        returned=returned,
        batch=written.batch,
        fixed_batch=written.fixed_batch,
        bytes_before=found.bytes,
        bytes_after=sum(path.stat().st_size for path in written.outputs),
        load_ms_before=load_ms,
        load_ms_after=written.load_ms,
        latency_ms_before=latency_ms,
        latency_ms_after=written.latency_ms,
        comparison=written.comparison,
        delegated=written.delegated,
        gradient_error=written.gradient_error,
        notes=[
            *source.notes,
            *([f"its input shape was found out: {', '.join(shapes)}"] if detected else []),
            *([f"it returns {', '.join(returned)}"] if len(returned) > 1 else []),
            *_sqnr_by_output(settings, returned, written.comparison),
            *written.notes,
        ],
    )


def _sqnr_by_output(settings: ConvertConfig, returned: list[str], found: Comparison) -> list[str]:
    if settings.precision != "int8" or len(returned) < 2:
        return []
    each = zip(returned, found.sqnr_by_output, strict=True)
    return [f"SQNR by output: {', '.join(f'{name} {ratio:.1f} dB' for name, ratio in each)}"]


def _called_with(source: Source, settings: ConvertConfig, origin: str) -> dict[str, ModelInput]:
    """Finds out what the model takes, and settles how it is called."""
    given = [parse_input(text) for text in settings.input_shape]
    manner = Manner(
        tuple(name for name, _ in given if name is not None),
        settings.input_value,
        settings.output_name,
        settings.batched,
    )
    if manner != Manner():
        source.called = Called(source.reference, manner)
        source.batch = source.batch if manner.batched else 1
        if source.called.changes_arguments:
            source.config = {**source.config, "convert": _recorded(settings)}
        if source.called.changes_arguments and source.capture is None:
            from .module_graphs import graph_capture

            # Its code alone doesn't say how it is called.
            source.capture, source.model, source.transforms = graph_capture(origin), None, ()
    inputs = find_inputs(source, [spec for _, spec in given], origin)
    if source.called is None:
        batch = [torch.zeros(source.batch or 2, *s.shape, dtype=s.torch_dtype) for s in inputs.values()]
        with torch.no_grad():
            plain = is_plain(source.reference(*batch))
        if not plain:
            source.called = Called(source.reference, manner)
    return inputs


def _recorded(settings: ConvertConfig) -> dict[str, Any]:
    return settings.model_dump(mode="json", include={"input_shape", "input_value", "output_name", "batched"})


def _check_repeatable(reference: object, samples: list[torch.Tensor], batch: int, origin: str) -> None:
    """A source that gives another result each time can't be compared with anything."""
    assert callable(reference)
    few = [tensor[:batch] for tensor in samples]

    def repeats(*models: Runnable) -> bool:
        first, second = (run_batches(model, few, batch) for model in models)
        return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))

    copies = [copy.deepcopy(reference) for _ in range(2)] if isinstance(reference, nn.Module) else []
    if not repeats(reference, reference):
        if copies and repeats(*copies):
            raise InputError(
                f"{origin} keeps state from one call to the next, which a program can't; capture a model "
                "that takes its state as an input and returns the new one"
            )
        raise InputError(
            f"{origin} gives other results each time; it may have been captured in training mode: capture "
            "it again after model.eval()"
        )
