"""Fine-tuning in a runtime that is loaded into this process: ExecuTorch's Python bindings, or PyTorch."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor

from ..artifacts.commit import written_together
from ..artifacts.history import save_history
from ..artifacts.program import Program, load_program
from ..artifacts.run_state import RunRecord, SavedRun, load_run, save_run
from ..artifacts.specs import Preprocessing
from ..artifacts.temporary import scratch_folder
from ..config.optimizer import ScheduleConfig
from ..data import BatchLoader, Dataset, fingerprint
from ..data.base import Split
from ..engine.interrupt import catch_interrupts
from ..engine.memory import peak_rss_bytes
from ..engine.optimizers import Moments
from ..engine.schedules import count_steps, depends_on_length, steps_per_epoch
from ..engine.seeding import seed_everything
from ..reporting import Reporter
from ..runtimes import Session, open_session
from ..runtimes.base import GraphSession, RuntimeName
from ..runtimes.stepping import make_stepper
from .features import FeatureSplit, feature_bytes
from .loop import Finetuner
from .outputs import history_path, state_path
from .resume import check_same_run
from .run import Run


def run_in_process(run: Run) -> None:
    """Trains a program; writes weights, state and history after every epoch.

    Raises:
        InputError: the state to resume from is missing or damaged, or the runtime refuses the program.
        UsageError: the run to be resumed had other settings.
        CheckFailedError: the loss is not finite.
        InterruptedRun: Ctrl-C or SIGTERM; everything is saved.
    """
    config, program, settings = run.config, run.program, run.config.finetune
    found = load_run(state_path(run.output)) if run.resume else None
    source = _source(program, run.dataset)
    if found is not None:
        check_same_run(found.record, source, run.history.config)
    seed_everything(settings.seed)
    session = _open(run, found.weights if found else {})
    training, validation = _loaders(run, session)
    total_steps = count_steps(
        settings.epochs, steps_per_epoch(len(training), settings.accumulate), settings.max_steps
    )
    moments = None
    if found is None:
        record = RunRecord(
            runtime=settings.runtime, source=source, config=run.history.config, total_steps=total_steps
        )
    else:
        record = found.record
        moments = Moments(record.optimizer_steps, found.first, found.second)
        _prepare_to_go_on(found, config.schedule, total_steps, run.reporter)
    best = {} if found is None else found.best
    stepper = make_stepper(session, config.optimizer, settings.accumulate, moments)

    def save() -> None:
        tensors = session.changed_tensors()
        learned = stepper.moments()
        saved = SavedRun(record, tensors, learned.first, learned.second, torch.get_rng_state(), best)
        _save(run, saved)

    if found is not None:
        # What it names is whole then, whatever lay there: the state holds the weights, too.
        _save(run, found)
    with catch_interrupts() as interrupt:
        Finetuner(
            config,
            session,
            stepper,
            training,
            validation,
            record,
            best,
            save,
            interrupt,
            run.log,
            run.reporter,
        ).run()


def _save(run: Run, saved: SavedRun) -> None:
    """Writes weights, state and history together."""
    record, keep = saved.record, run.config.finetune.keep
    found = {
        "epochs": record.epochs,
        "best_epoch": record.best_epoch if keep == "best" else None,
        "peak_rss_bytes": peak_rss_bytes(),
    }
    with written_together(run.output.with_suffix("")) as folder:
        output = folder / run.output.name
        run.program.save(output, saved.kept, run.config.finetune.save)
        save_run(state_path(output), saved)
        save_history(history_path(output), run.history.model_copy(update=found))


def _open(run: Run, tensors: dict[str, Tensor]) -> Session:
    """The program in its runtime, with some tensors replaced."""
    settings = run.config.finetune
    with _with_tensors(run.program, tensors) as start:
        return open_session(
            cast(RuntimeName, settings.runtime),
            start,
            threads=settings.threads,
            trusted=run.trusted,
            kernels=None if settings.kernels == "auto" else settings.kernels,
        )


@contextlib.contextmanager
def _with_tensors(program: Program, tensors: dict[str, Tensor]) -> Iterator[Program]:
    """The program with some tensors replaced, in temporary files."""
    if not tensors:
        yield program
        return
    with scratch_folder() as folder:
        if program.weights is None:
            place = folder / program.path.name
            program.save(place, tensors)
            yield load_program(place)
        else:
            place = folder / "weights.ptd"
            program.save(place, tensors)
            yield load_program(program.path, place)


def _loaders(run: Run, session: Session) -> tuple[BatchLoader, BatchLoader]:
    """Batches prepared as the model was trained with, not as the new data set usually is."""
    settings, dataset = run.config.finetune, run.dataset
    train, prepared = _with_features(run, session, dataset.train, augmented=bool(dataset.augmentation))
    training = BatchLoader(
        train,
        prepared,
        run.batch_size,
        shuffle=settings.shuffle,
        seed=settings.seed,
        augmentation=dataset.augmentation,
    )
    test, prepared = _with_features(run, session, dataset.test, augmented=False)
    return training, BatchLoader(test, prepared, session.contract.max_batch_size)


def _with_features(
    run: Run, session: Session, split: Split, *, augmented: bool
) -> tuple[Split, dict[str, Preprocessing]]:
    """A split with features in place of inputs, where these stay the same and don't take too much memory; and
    the preprocessing of what it then has."""
    preprocessing = run.program.manifest.preprocessing
    size = feature_bytes(session.contract, len(split))
    most = run.config.finetune.keep_features
    if augmented or not 0 < size <= most or not isinstance(session, GraphSession):
        return split, preprocessing
    run.reporter.detail(f"the backbone's features of {len(split)} samples are kept ({size / 1e6:.1f} MB)")
    features = FeatureSplit(split, preprocessing, session)
    return features, dict.fromkeys(session.contract.features, Preprocessing())


def _source(program: Program, dataset: Dataset) -> dict[str, str]:
    """What a run starts from; a resumed one has to start from the same."""
    weights = hashlib.sha256(program.weights.data).hexdigest() if program.weights else ""
    return {
        "program": program.manifest.program.sha256,
        "weights": weights,
        "data": fingerprint(dataset.train),
    }


def _prepare_to_go_on(
    found: SavedRun, schedule: ScheduleConfig, total_steps: int, reporter: Reporter
) -> None:
    record = found.record
    if depends_on_length(schedule) and total_steps != record.total_steps:
        reporter.warn(
            f"the {schedule.name} schedule now ends at step {total_steps}, not {record.total_steps}: "
            "from here on the learning rate is not what one uninterrupted run would have had"
        )
    record.total_steps = total_steps
    if found.random is not None:
        torch.set_rng_state(found.random)
    if record.step >= total_steps:
        reporter.info(
            f"the run is finished already ({record.step} steps); raise --epochs, --max-steps or --patience "
            "to go on"
        )
    else:
        # That of an epoch which max_steps cut short comes again once the epoch is whole.
        record.epochs = [epoch for epoch in record.epochs if epoch.epoch <= record.epoch]
        if record.best_epoch is not None and record.best_epoch > record.epoch:
            record.best_epoch = None
            found.best.clear()
        reporter.info(f"resuming after step {record.step} of {total_steps}")
