"""Fine-tuning in a runtime that is loaded into this process: ExecuTorch's Python bindings, or PyTorch."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from ..artifacts.program import Program, load_program
from ..config.optimizer import ScheduleConfig
from ..data import BatchLoader, Dataset, fingerprint
from ..engine.interrupt import catch_interrupts
from ..engine.memory import peak_rss_bytes
from ..engine.run_state import RunState
from ..engine.schedules import count_steps, depends_on_length
from ..engine.seeding import get_random_state, seed_everything, set_random_state
from ..reporting import Reporter
from ..runtimes import open_session
from ..runtimes.base import RuntimeName
from .job import Job
from .loop import Finetuner
from .outputs import state_path
from .state import SavedRun, check_same_run, load_run, save_run


def run_in_process(job: Job) -> None:
    """Trains a program; writes weights, state and history after every epoch.

    Raises:
        InputError: the state to resume from is missing or damaged, or the runtime refuses the program.
        UsageError: the run to be resumed had other settings.
        CheckFailedError: the loss is not finite.
        InterruptedRun: Ctrl-C or SIGTERM; everything is saved.
    """
    config, program, settings = job.config, job.program, job.config.finetune
    state_file = state_path(job.output, settings.runtime)
    found = load_run(state_file) if job.resume else None
    source = _source(program, job.dataset)
    if found is not None:
        check_same_run(found, source, job.history.config)
    seed_everything(settings.seed)
    runtime = cast(RuntimeName, settings.runtime)
    with _with_tensors(program, found.tensors if found else {}) as start:
        session = open_session(
            runtime,
            start,
            threads=settings.threads,
            model=job.model,
            kernels=None if settings.kernels == "auto" else settings.kernels,
        )
    training, validation = _loaders(job)
    state = found.state if found else RunState()
    total_steps = count_steps(settings.epochs, len(training), settings.max_steps)
    if found is not None:
        _prepare_to_go_on(found, config.schedule, total_steps, job.reporter)
        if not job.output.is_file():
            program.save(job.output, found.tensors)

    def save(run: Finetuner) -> None:
        tensors = session.changed_tensors()
        program.save(job.output, tensors)
        optimizer = run.optimizer.state_dict() if run.optimizer else None
        saved = SavedRun(
            source, total_steps, job.history.config, tensors, optimizer, get_random_state(), state
        )
        save_run(state_file, saved)
        job.history.epochs = list(state.records)
        job.history.peak_rss_bytes = peak_rss_bytes()
        job.save_history()

    with catch_interrupts() as interrupt:
        run = Finetuner(
            config,
            program.manifest.task,
            session,
            training,
            validation,
            total_steps,
            state,
            save,
            interrupt,
            job.reporter,
            found.optimizer if found else None,
        )
        run.run()
    job.history.epochs = list(state.records)


@contextlib.contextmanager
def _with_tensors(program: Program, tensors: dict[str, Tensor]) -> Iterator[Program]:
    """The program with some tensors replaced, in temporary files."""
    if not tensors:
        yield program
        return
    with tempfile.TemporaryDirectory(prefix="edgetrain-") as folder:
        if program.weights is None:
            place = Path(folder) / program.path.name
            program.save(place, tensors)
            yield load_program(place)
        else:
            place = Path(folder) / "weights.ptd"
            program.save(place, tensors)
            yield load_program(program.path, place)


def _loaders(job: Job) -> tuple[BatchLoader, BatchLoader]:
    """Batches prepared as the model was trained with, not as the new data set usually is."""
    manifest, settings, dataset = job.program.manifest, job.config.finetune, job.dataset
    training = BatchLoader(
        dataset.train,
        manifest.preprocessing,
        settings.batch_size,
        shuffle=True,
        seed=settings.seed,
        augmentation=dataset.augmentation,
    )
    return training, BatchLoader(dataset.test, manifest.preprocessing, manifest.max_batch_size)


def _source(program: Program, dataset: Dataset) -> dict[str, Any]:
    """What a run starts from; a resumed one has to start from the same."""
    weights = hashlib.sha256(program.weights.data).hexdigest() if program.weights else None
    return {
        "program": program.manifest.program.sha256,
        "weights it started from": weights,
        "training data": fingerprint(dataset.train),
    }


def _prepare_to_go_on(
    found: SavedRun, schedule: ScheduleConfig, total_steps: int, reporter: Reporter
) -> None:
    if depends_on_length(schedule) and total_steps != found.total_steps:
        reporter.warn(
            f"the {schedule.name} schedule now ends at step {total_steps}, not {found.total_steps}: "
            "from here on the learning rate is not what one uninterrupted run would have had"
        )
    set_random_state(found.random)
    if found.state.step >= total_steps:
        reporter.info(
            f"the run is finished already ({found.state.step} steps); raise --epochs or --max-steps to go on"
        )
    else:
        found.state.drop_unfinished_record()
        reporter.info(f"resuming after step {found.state.step} of {total_steps}")
