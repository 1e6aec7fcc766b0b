"""`edgetrain bench`: the same steps in every runtime, in turns."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ..artifacts.commit import check_writable
from ..artifacts.contract import BACKBONE, STEP_METHODS, Contract
from ..artifacts.program import Program, load_program
from ..artifacts.temporary import scratch_folder
from ..config.stages import BenchCommand, BenchConfig
from ..data import BatchLoader, Dataset, load_dataset
from ..engine.comparison import Truth, largest
from ..engine.optimizers import check_groups
from ..engine.program_optimizer import with_own_settings
from ..errors import CheckFailedError, UsageError
from ..factories import NOTHING, Trusted
from ..reporting import SILENT, Piece, Progress, Reporter
from ..runner import find_runner
from ..runtimes.base import RuntimeName
from ..runtimes.fitting import check_data
from ..runtimes.kernels import Kernels, choose_kernels
from ..runtimes.updates import check_updates
from .machine import OtherWork, busy_note, describe_machine
from .native_worker import NativeWorker
from .page import save_page
from .plot import plot_report
from .profile import Profile
from .report import BenchReport, Measurement, StepTimes, save_report
from .worker import ChildWorker
from .workload import Batches, Measured, Steps, Workload, save_batches

# A profile grows with each step.
_MOST_PROFILED = 20
# About what a process takes to start, and a step for each sample, until some have been seen.
_START_SECONDS, _STEP_SECONDS = 3.0, 2e-4


@dataclass(frozen=True)
class BenchResult:
    """The report and the files it was written to; `page` if it was asked for."""

    report: BenchReport
    path: Path
    plot: Path
    page: Path | None


def bench(
    config: BenchCommand,
    program: Path,
    output: Path,
    *,
    weights: Path | None = None,
    page: Path | None = None,
    command: str | None = None,
    trusted: Trusted = NOTHING,
    reporter: Reporter = SILENT,
) -> BenchResult:
    """Measures training steps of one program in several runtimes.

    All start from the same weights and see the same batches in the same order, each in a process of its own;
    they take turns, so that a noisy moment of the machine hits all of them.

    Args:
        output: bench.json; the plot is written beside it as .png.
        weights: start from this .ptd rather than the one the program was exported with.
        page: the report as HTML, if that is wanted as well.
        command: the command line that asked for it, to be told in the report.
        trusted: whose code the caller lets the torch runtime run.
    Raises:
        InputError: program, weights or data are damaged or don't fit each other.
        UsageError: a batch size or the number of steps doesn't fit.
        CheckFailedError: a runtime crashed, or a loss is not finite.
    """
    loaded = load_program(program, weights)
    settings = config.bench
    if min(settings.batch_sizes) < 1 or min(settings.threads) < 1:
        raise UsageError("batch sizes and threads count from 1")
    most = loaded.manifest.contract.max_batch_size
    too_large = [b for b in settings.batch_sizes if b > most]
    if too_large and not loaded.manifest.contract.splits_batches:
        raise UsageError(
            f"the program takes batches of up to {most}, not {too_large[0]}; "
            f"export with --max-batch-size {max(too_large)}"
        )
    plot = output.with_suffix(".png")
    for path in (output, plot, page):
        if path is not None:
            check_writable(path)
    optimizer = with_own_settings(config.optimizer, loaded.manifest.contract)
    check_groups(optimizer, loaded.manifest.contract.trainable)
    config = config.model_copy(update={"optimizer": optimizer})
    runtimes = list(dict.fromkeys(settings.runtimes or _installed()))
    for runtime in runtimes:
        check_updates(runtime, loaded, optimizer)
    dataset = load_dataset(config.data, reporter, loaded.manifest.inputs)
    check_data(dataset, loaded.manifest)
    cases = [(threads, size) for threads in settings.threads for size in settings.batch_sizes]
    results: list[Measurement] = []
    other_work = OtherWork()
    with reporter.progress("benchmark", _plan(settings, runtimes, cases)) as bar:
        for threads, size in cases:
            results += _measure(config, runtimes, loaded, weights, dataset, threads, size, trusted, bar)
        bar.advance(0, now="drawing")
        report = BenchReport(
            command_line=command,
            measured_at=datetime.now(timezone.utc),
            machine={**describe_machine(), "others_cores": other_work.cores()},
            workload=_describe_workload(config, loaded),
            results=results,
        )
        note = busy_note(report.machine)
        if note is not None:
            reporter.warn(note)
        save_report(output, report)
        plot_report(report, plot)
        if page is not None:
            save_page(page, report)
    return BenchResult(report, output, plot, page)


def _plan(settings: BenchConfig, runtimes: list[str], cases: list[tuple[int, int]]) -> list[Piece]:
    """What is done one after another: `_measure`, case by case. Steps go by their samples."""
    plan = []
    for _, size in cases:
        step = _STEP_SECONDS * size
        plan += [Piece(f"start {runtime}", _START_SECONDS) for runtime in runtimes]
        plan += [Piece("judge", _START_SECONDS)]
        plan += [Piece(runtime, max(settings.warmup, 1) * step) for runtime in runtimes]
        shares = _shares(settings.steps, settings.rounds)
        plan += [Piece(runtime, share * step) for share in shares for runtime in runtimes]
        profiled = min(settings.steps, _MOST_PROFILED) * step if settings.profile else 0.0
        plan += [Piece(f"profile {runtime}", _START_SECONDS + profiled) for runtime in runtimes if profiled]
    return [*plan, Piece("drawing", _START_SECONDS)]


def _shares(steps: int, rounds: int) -> list[int]:
    """Steps of each turn."""
    return [steps // rounds + (i < steps % rounds) for i in range(rounds)]


def _installed() -> list[str]:
    return ["torch", "executorch", *(["native"] if find_runner() else [])]


def _measure(
    config: BenchCommand,
    runtimes: list[str],
    program: Program,
    weights: Path | None,
    dataset: Dataset,
    threads: int,
    batch_size: int,
    trusted: Trusted,
    bar: Progress,
) -> list[Measurement]:
    """All runtimes at one batch size and number of threads."""
    settings = config.bench
    with contextlib.ExitStack() as stack:
        batches = stack.enter_context(_batches(config, program, dataset, batch_size))
        workload = Workload(
            program.path, weights, batches, config.optimizer, settings.dropout, threads, trusted
        )
        workers: dict[str, Measured] = {}
        for runtime in runtimes:
            bar.advance(0, now=f"starting {runtime}")
            workers[runtime] = _start(runtime, workload)
            stack.callback(workers[runtime].close)
            bar.advance()
        contract = program.manifest.contract
        compared = "torch" in workers and not settings.dropout
        truths: dict[str, Truth] = {}
        bar.advance(0, now="computing the truth")
        if compared and contract.gradient_method is not None:
            # In a process of its own: what float64 takes is no memory of torch's steps.
            with contextlib.closing(ChildWorker("torch", None, workload)) as judge:
                truths = judge.gradient_truths()
        bar.advance()
        first: dict[str, tuple[Steps, dict[str, Tensor]]] = {}
        losses: dict[str, list[float]] = {}
        for runtime, worker in workers.items():
            bar.advance(0, now=f"warming up {runtime}")
            first[runtime] = worker.first_step()
            losses[runtime] = [*first[runtime][0].losses, *worker.run(max(settings.warmup - 1, 0)).losses]
            bar.advance()
        measured = _take_turns(workers, settings.steps, settings.rounds, bar)
        memory = {runtime: worker.memory() for runtime, worker in workers.items()}
        profiles = _profiles(runtimes, workload, settings.steps, bar) if settings.profile else {}
    for runtime, steps in measured.items():
        losses[runtime] += steps.losses
        if not np.isfinite(losses[runtime]).all():
            raise CheckFailedError(
                f"the loss in {runtime} is not finite; lower the learning rate (now {config.optimizer.lr:g})"
            )
    in_graph = {name: check_updates(name, program, config.optimizer) is None for name in runtimes}
    torch_median = float(np.median(measured["torch"].seconds)) if "torch" in measured else None
    return [
        Measurement(
            runtime=runtime,
            kernels=_kernels(runtime),
            update="in graph" if in_graph[runtime] else "outside",
            threads=threads,
            batch_size=batch_size,
            step_ms=_step_times(steps.seconds),
            samples_per_s=batch_size / float(np.median(steps.seconds)),
            arena_bytes=None if runtime == "torch" else _arena_bytes(contract, in_graph[runtime]),
            program_bytes=None if runtime == "torch" else _bytes_on_disk(program),
            losses=steps.losses,
            max_loss_rel_error=_loss_error(losses[runtime], losses["torch"]) if compared else None,
            max_gradient_rel_error=_gradient_error(first[runtime][1], truths) if truths else None,
            ratio_to_torch=float(np.median(steps.seconds)) / torch_median if torch_median else None,
            profile=profiles.get(runtime),
            **asdict(memory[runtime]),
        )
        for runtime, steps in measured.items()
    ]


def _start(runtime: str, workload: Workload) -> Measured:
    if runtime == "native":
        return NativeWorker(workload)
    return ChildWorker(cast(RuntimeName, runtime.removesuffix("-stock")), _kernels(runtime), workload)


def _profiles(runtimes: list[str], workload: Workload, steps: int, bar: Progress) -> dict[str, Profile]:
    """Of every runtime, each in a new process: profiling costs time and memory."""
    profiles = {}
    count = min(steps, _MOST_PROFILED)
    for runtime in runtimes:
        bar.advance(0, now=f"profiling {runtime}")
        with contextlib.closing(_profiled(runtime, workload, count)) as worker:
            profiles[runtime] = worker.profile(count)
        bar.advance()
    return profiles


def _profiled(runtime: str, workload: Workload, steps: int) -> NativeWorker | ChildWorker:
    if runtime == "native":
        return NativeWorker(workload, profiled=1 + steps)
    return ChildWorker(
        cast(RuntimeName, runtime.removesuffix("-stock")), _kernels(runtime), workload, profiled=True
    )


def _kernels(runtime: str) -> Kernels | None:
    """Whose kernels a runtime has; None for torch."""
    if runtime == "native":
        return "fast"
    if runtime == "torch":
        return None
    return choose_kernels("stock" if runtime == "executorch-stock" else None)


def _take_turns(workers: dict[str, Measured], steps: int, rounds: int, bar: Progress) -> dict[str, Steps]:
    measured = {runtime: Steps([], []) for runtime in workers}
    for share in _shares(steps, rounds):
        for runtime, worker in workers.items():
            bar.advance(0, now=f"measuring {runtime}")
            done = worker.run(share)
            measured[runtime].seconds.extend(done.seconds)
            measured[runtime].losses.extend(done.losses)
            bar.advance()
    return measured


@contextlib.contextmanager
def _batches(config: BenchCommand, program: Program, dataset: Dataset, batch_size: int) -> Iterator[Path]:
    """A temporary file with a batch for every step. Data sets too small for that are gone through again."""
    settings = config.bench
    count = max(settings.warmup, 1) + settings.steps
    loader = BatchLoader(
        dataset.train, program.manifest.preprocessing, batch_size, shuffle=True, seed=settings.seed
    )
    if len(dataset.train) < batch_size:
        raise UsageError(
            f"the training split has {len(dataset.train)} samples, too few for a batch of {batch_size}"
        )
    endless = (batch for epoch in itertools.count() for batch in loader.epoch(epoch))
    full = (batch for batch in endless if len(batch) == batch_size)
    chosen = list(itertools.islice(full, count))
    with scratch_folder() as folder:
        path = folder / "batches.pt"
        inputs = {name: torch.stack([batch.inputs[name] for batch in chosen]) for name in dataset.inputs}
        targets = {name: torch.stack([batch.targets[name] for batch in chosen]) for name in dataset.targets}
        save_batches(path, Batches(inputs, targets))
        yield path


def _arena_bytes(contract: Contract, in_graph: bool) -> int:
    """Planned memory of the methods that make a step, which share it."""
    names = STEP_METHODS if in_graph else (BACKBONE, contract.gradient_method)
    arenas = [method.arena_bytes for name, method in contract.methods.items() if name in names]
    return sum(map(max, zip(*arenas, strict=True)))


def _step_times(seconds: list[float]) -> StepTimes:
    milliseconds = np.array(seconds) * 1e3
    return StepTimes(
        median=float(np.median(milliseconds)),
        p95=float(np.percentile(milliseconds, 95)),
        min=float(milliseconds.min()),
    )


def _loss_error(losses: list[float], reference: list[float]) -> float:
    return largest(abs(a - b) / max(abs(b), 1e-12) for a, b in zip(losses, reference, strict=True))


def _gradient_error(gradients: dict[str, Tensor], truths: dict[str, Truth]) -> float:
    """The largest error of a gradient, relative to what it is made of."""
    return largest(truth.error(gradients[name]) for name, truth in truths.items())


def _bytes_on_disk(program: Program) -> int:
    paths = [program.path] + ([program.weights_path] if program.weights_path else [])
    return sum(path.stat().st_size for path in paths)


def _describe_workload(config: BenchCommand, program: Program) -> dict[str, Any]:
    settings = config.bench
    return {
        "model": program.manifest.model.name,
        "dataset": config.data.name,
        "seed": settings.seed,
        "steps": settings.steps,
        "warmup": settings.warmup,
        "rounds": settings.rounds,
        "dropout": settings.dropout,
        "optimizer": config.optimizer.model_dump(mode="json"),
        "program": program.path.name,
        "trainable_parameters": sum(
            int(np.prod(t.shape))
            for t in program.manifest.contract.stored
            if t.kind == "parameter" and t.changes
        ),
    }
