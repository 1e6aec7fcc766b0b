"""Fine-tuning by the native runner: it is given packed files and a job, and reports epoch by epoch."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ..artifacts.history import EpochRecord, load_history
from ..data.packing import pack_split
from ..engine.metrics import Meter
from ..engine.schedules import count_steps
from ..errors import InputError
from ..runtimes.native import NativeProcess, optimizer_flags, value_flags
from .job import Job
from .outputs import history_path, state_path
from .report import describe_epoch


def run_natively(job: Job) -> None:
    """Trains a program in the native runner, which writes weights and state after every epoch; the history
    follows. The samples are packed into a temporary folder first, as a device would get them.

    Raises:
        InputError: the runner refuses a file.
        UsageError: the settings don't fit the program, or the run that is to be resumed.
        CheckFailedError: loss, gradients or weights are not finite, or the runner crashed.
        InterruptedRun: Ctrl-C or SIGTERM; everything was saved.
    """
    history, program = job.history, job.program
    history.epochs = _earlier_epochs(job)
    with tempfile.TemporaryDirectory(prefix="edgetrain-") as folder:
        training, validation = Path(folder) / "train.ptd", Path(folder) / "test.ptd"
        pack_split(job.dataset.train, training, job.reporter)
        pack_split(job.dataset.test, validation, job.reporter)
        arguments: list[str | Path] = ["train", program.path, "-o", job.output]
        arguments += ["--data", training, "--validation", validation]
        if program.weights_path is not None:
            arguments += ["--weights", program.weights_path]
        if job.resume:
            arguments.append("--resume")
        with NativeProcess([*arguments, *_flags(job)], what="fine-tuning") as process:
            try:
                with process.forwarding_signals():
                    _follow(process, job)
            finally:
                for note in process.notes():
                    job.reporter.warn(note)


def _earlier_epochs(job: Job) -> list[EpochRecord]:
    """Of the run that is resumed: the runner reports only what is new.

    Raises:
        InputError: its history is missing or damaged.
    """
    path = history_path(job.output)
    state = state_path(job.output, "native")
    # Without a state there is nothing to resume, which the runner says better.
    if not job.resume or not state.is_file():
        return []
    if not path.is_file():
        raise InputError(
            f"{path} is missing, which holds the epochs before the interruption; put it back, or start anew "
            "without --resume"
        )
    return load_history(path).epochs


def _flags(job: Job) -> list[str]:
    schedule = job.config.schedule.model_dump(exclude={"name"})
    augmentation = job.dataset.augmentation
    return [
        *value_flags(job.config.finetune.model_dump(exclude={"runtime", "kernels"})),
        *optimizer_flags(job.config.optimizer),
        *("--schedule", job.config.schedule.name, *value_flags(schedule)),
        *(["--flip"] if augmentation.flip else []),
        *value_flags({"crop_padding": augmentation.crop_padding or None}),
        "--log-steps",
    ]


def _follow(process: NativeProcess, job: Job) -> None:
    settings = job.config.finetune
    steps_per_epoch = -(-len(job.dataset.train) // settings.batch_size)
    total, done = count_steps(settings.epochs, steps_per_epoch, settings.max_steps), 0
    meter = Meter()
    with job.reporter.progress("fine-tuning", total=total) as bar:
        for event in process.events():
            if event["event"] == "step":
                meter.add(event["loss"], None, event["samples"])
                bar.advance(event["step"] - done, loss=meter.loss, lr=event["learning_rate"])
                done = event["step"]
            elif event["event"] == "epoch":
                meter = Meter()
                _add_epoch(job, EpochRecord.model_validate({k: event[k] for k in EpochRecord.model_fields}))
            elif event["event"] == "result":
                job.history.threads = event["threads"]
                job.history.peak_rss_bytes = event["peak_rss_bytes"]
    job.save_history()


def _add_epoch(job: Job, record: EpochRecord) -> None:
    # An epoch that --max-steps cut short is reported again once it is whole.
    job.history.epochs = [r for r in job.history.epochs if r.epoch != record.epoch] + [record]
    if record.epoch > 0:
        job.reporter.info(describe_epoch(record, job.config.finetune.epochs))
        job.save_history()
