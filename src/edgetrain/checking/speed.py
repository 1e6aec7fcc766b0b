"""How long a step takes in each runtime."""

from __future__ import annotations

import contextlib
import statistics
from pathlib import Path
from typing import Any

from ..bench.native_worker import NativeWorker
from ..bench.worker import ChildWorker
from ..bench.workload import Batches, Measured, Workload, save_batches
from ..config.stages import CheckCommand
from ..export.batches import Batch
from ..factories import Trusted
from ..runner import find_kernels, find_runner

_ROUNDS = 4
# Steps before those that are timed, in each turn: caches and clocks are the other runtimes' after theirs.
_WARMUP = 5


def time_steps(program: Path, config: CheckCommand, optimizer: Any, batch: Batch) -> dict[Any, float]:
    """Median times of a step [ms] by runtime, each in a process of its own; they take turns of some steps.

    Args:
        batch: every step's.
    Raises:
        EdgetrainError: a runtime can't run the program.
    """
    settings = config.check
    count = _ROUNDS * _WARMUP + settings.timed_steps
    place = program.with_suffix(".batches.pt")
    save_batches(
        place,
        Batches(
            {n: t.expand(count, *t.shape).contiguous() for n, t in batch.inputs.items()},
            {n: t.expand(count, *t.shape).contiguous() for n, t in batch.targets.items()},
        ),
    )
    trusted = Trusted(config.model.name, config.loss.name)
    workload = Workload(program, None, place, optimizer, False, settings.threads, trusted)
    seconds: dict[Any, list[float]] = {}
    with contextlib.ExitStack() as stack:
        workers: dict[Any, Measured] = {"torch": ChildWorker("torch", None, workload)}
        stack.callback(workers["torch"].close)
        if find_kernels() is not None:
            workers["executorch"] = ChildWorker("executorch", "fast", workload)
            stack.callback(workers["executorch"].close)
        if find_runner() is not None:
            workers["native"] = NativeWorker(workload)
            stack.callback(workers["native"].close)
        shares = [
            settings.timed_steps // _ROUNDS + (i < settings.timed_steps % _ROUNDS) for i in range(_ROUNDS)
        ]
        for share in shares:
            for runtime, worker in workers.items():
                worker.run(_WARMUP)
                seconds.setdefault(runtime, []).extend(worker.run(share).seconds if share else [])
    return {runtime: 1e3 * statistics.median(taken) for runtime, taken in seconds.items()}
