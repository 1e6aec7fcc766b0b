"""`--to pte`: a program with the method `forward`, for inference."""

from __future__ import annotations

import time

from torch import Tensor

from ...export.capture import export_graph
from ...export.quantization import quantize
from ...runtimes.inference import InferenceProgram
from ...runtimes.timing import median_ms
from ..source import Runnable
from ..verification import Comparison, check_error, check_sqnr, compare, run_batches
from .delegation import lower_for_inference
from .job import Job, Written


def write_pte(job: Job) -> Written:
    """Lowers a model for inference and runs it in ExecuTorch.

    Raises:
        CheckFailedError: it can't be captured, has no kernel in the runtime, or computes something else.
    """
    config = job.config.convert
    captured = job.source.captured_for_inference(job.example(job.source.batch or 2))
    fixed = captured.batch is not None
    batch = captured.batch or config.max_batch_size
    captured.module.eval()
    # A batch of one is no example of several: tracing takes it for a constant.
    example = job.example(batch if fixed or batch == 1 else max(2, batch))
    if not config.batched:
        example = [tensor[0] for tensor in example]
    largest = 1 if fixed else batch
    program = export_graph(captured.module, example, largest, strict=False)
    if config.precision == "int8":
        quantized = quantize(program, job.samples, len(example[0]))
        program = export_graph(quantized, example, largest, strict=False)
    path = job.output(".pte")
    content, notes = lower_for_inference(program, config.backend, job.origin)
    path.write_bytes(content)
    started = time.perf_counter()
    loaded = InferenceProgram(path, threads=1)
    load_ms = 1e3 * (time.perf_counter() - started)
    run = loaded.run if config.batched else _with_batch(loaded)
    comparison = _compare(job, run, batch if fixed else 1, batch)
    if config.precision == "int8":
        check_sqnr(comparison, config.min_sqnr)
    else:
        check_error(comparison, config.tolerance)
    timed = job.example(batch if fixed else 1)
    return Written(
        target=f"pte ({config.backend}, {config.precision})",
        outputs=[path],
        batch=batch,
        fixed_batch=fixed or batch == 1,
        load_ms=load_ms,
        latency_ms=median_ms(lambda: run(*timed)),
        comparison=comparison,
        notes=notes,
    )


def _with_batch(loaded: InferenceProgram) -> Runnable:
    """A program whose tensors have no batch, for batches of one."""
    return lambda *tensors: [output[None] for output in loaded.run(*(tensor[0] for tensor in tensors))]


def _compare(job: Job, run: Runnable, small: int, large: int) -> Comparison:
    """On single samples, and on the largest batch as well."""

    def both(batch: int) -> tuple[list[Tensor], list[Tensor]]:
        found = run_batches(run, job.samples, batch)
        return found, run_batches(job.source.run, job.samples, batch)

    found, expected = both(small)
    if large != small:
        more = both(large)
        found, expected = [*found, *more[0]], [*expected, *more[1]]
    return compare(found, expected)
