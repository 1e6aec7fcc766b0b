"""`--to pte`: a program with the method `forward`, for inference."""

from __future__ import annotations

import time

from torch import Tensor

from ...artifacts.atomic import write_bytes
from ...export.capture import export_graph
from ...export.delegation import delegation_of
from ...export.quantization import quantize
from ...runtimes.inference import InferenceProgram
from ...runtimes.timing import median_ms
from ..source import Runnable
from ..verification import Comparison, check_error, check_sqnr, compare, in_double, run_batches
from .delegation import lower_for_inference
from .job import Job, Written, captured_for

_UNCALIBRATED = (
    "int8 was calibrated and measured with random numbers; --inputs samples.npz with real ones gives scales "
    "and figures that mean something"
)


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
        job.step("quantizing")
        quantized = quantize(program, job.samples, len(example[0]))
        program = export_graph(quantized, example, largest, strict=False)
    path = job.output(".pte")
    job.step("lowering")
    lowered, notes = lower_for_inference(program, config.backend, job.origin)
    write_bytes(path, lowered.program)
    started = time.perf_counter()
    loaded = InferenceProgram(path, threads=1)
    load_ms = 1e3 * (time.perf_counter() - started)
    job.step("comparing")
    run = loaded.run if config.batched else _with_batch(loaded)
    comparison = _compare(job, run, batch if fixed else 1, batch)
    if config.precision == "int8":
        check_sqnr(comparison, config.min_sqnr)
        if config.inputs is None:
            notes.append(_UNCALIBRATED)
    delegated = None
    if config.backend != "portable":
        found = delegation_of(lowered, "forward")
        delegated = (found.taken, found.taken + found.left)
        if found.names:
            notes.append(f"on portable kernels: {', '.join(found.names)}")
    if fixed and batch != config.max_batch_size:
        notes.append(f"{captured_for(batch)}, and its program takes no others")
    timed = job.example(batch if fixed else 1)
    return Written(
        target=f"pte ({config.backend}, {config.precision})",
        outputs=[path],
        batch=batch,
        fixed_batch=fixed or batch == 1,
        load_ms=load_ms,
        latency_ms=median_ms(lambda: run(*timed)),
        comparison=comparison,
        delegated=delegated,
        notes=notes,
    )


def _with_batch(loaded: InferenceProgram) -> Runnable:
    """A program whose tensors have no batch, for batches of one."""
    return lambda *tensors: [output[None] for output in loaded.run(*(tensor[0] for tensor in tensors))]


def _compare(job: Job, run: Runnable, small: int, large: int) -> Comparison:
    """On single samples, and on the largest batch as well; float32 has to be right."""
    sizes, config, source = list(dict.fromkeys((small, large))), job.config.convert, job.source.run

    def both(model: Runnable) -> list[Tensor]:
        return [tensor for size in sizes for tensor in run_batches(model, job.samples, size)]

    def exact() -> list[Tensor] | None:
        runs = [in_double(source, job.samples, size) for size in sizes]
        return None if None in runs else [tensor for found in runs for tensor in found or []]

    found, expected = both(run), both(source)
    comparison = compare(found, expected, len(sizes))
    if config.precision == "float32":
        check_error(found, expected, config.tolerance, exact)
    return comparison
