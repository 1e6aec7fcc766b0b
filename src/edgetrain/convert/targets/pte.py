"""`--to pte`: a program with the method `forward`, for inference."""

from __future__ import annotations

import time

from torch import Tensor
from torch.export import ExportedProgram

from ...errors import CheckFailedError
from ...export.capture import export_graph
from ...export.preflight import missing_operators
from ...runtimes.inference import InferenceProgram
from ..quantization import quantize
from ..verification import Comparison, check_error, check_sqnr, compare, median_ms, run_batches
from .job import Job, Written


def write_pte(job: Job) -> Written:
    """Lowers a model for inference and runs it in ExecuTorch.

    Raises:
        CheckFailedError: it can't be captured, has no kernel in the runtime, or computes something else.
    """
    config = job.config.convert
    captured = job.source.captured(job.example(job.source.batch or 2))
    fixed = captured.batch is not None
    batch = captured.batch or config.max_batch_size
    captured.module.eval()
    # A batch of one is no example of several: tracing takes it for a constant.
    example = job.example(batch if fixed or batch == 1 else max(2, batch))
    largest = 1 if fixed else batch
    program = export_graph(captured.module, tuple(example), largest, strict=False)
    if config.precision == "int8":
        quantized = quantize(program, job.samples, len(example[0]))
        program = export_graph(quantized, tuple(example), largest, strict=False)
    path = job.output(".pte")
    path.write_bytes(lower_inference(program, config.backend, job.origin))
    started = time.perf_counter()
    loaded = InferenceProgram(path, threads=1)
    load_ms = 1e3 * (time.perf_counter() - started)
    comparison = _compare(job, loaded, batch if fixed else 1, batch)
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
        latency_ms=median_ms(lambda: loaded.run(*timed)),
        comparison=comparison,
    )


def lower_inference(program: ExportedProgram, backend: str, origin: str) -> bytes:
    """The bytes of the .pte.

    Raises:
        CheckFailedError: the runtime has no kernel for an operator that no backend takes.
    """
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    from ...runtimes.executorch_py import runtime_operators

    partitioners = []
    if backend == "xnnpack":
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

        partitioners = [XnnpackPartitioner()]
    compile_config = EdgeCompileConfig(_check_ir_validity=False)
    try:
        edge = to_edge_transform_and_lower(program, partitioner=partitioners, compile_config=compile_config)
    except (RuntimeError, AssertionError, KeyError, ValueError, NotImplementedError) as error:
        reason = next(
            (line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__
        )
        raise CheckFailedError(f"{origin} can't be lowered: {reason} (--debug shows all)") from error
    missing = missing_operators(edge.exported_program(), runtime_operators())
    if missing:
        named = ", ".join(name.split("::")[-1] for name in missing)
        raise CheckFailedError(
            f"{origin} uses {named}, for which ExecuTorch has no kernel; replace these layers"
        )
    return bytes(edge.to_executorch().buffer)


def _compare(job: Job, loaded: InferenceProgram, small: int, large: int) -> Comparison:
    """On single samples, and on the largest batch as well."""

    def both(batch: int) -> tuple[list[Tensor], list[Tensor]]:
        found = run_batches(loaded.run, job.samples, batch)
        return found, run_batches(job.source.reference, job.samples, batch)

    found, expected = both(small)
    if large != small:
        more = both(large)
        found, expected = [*found, *more[0]], [*expected, *more[1]]
    return compare(found, expected)
