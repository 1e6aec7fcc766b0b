"""Fine-tuning by the native runner: it is given packed files and a job, and reports epoch by epoch."""

from __future__ import annotations

import math
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..artifacts.history import EpochRecord, save_history
from ..artifacts.job import AugmentationRecord, Job, save_job
from ..artifacts.run_state import load_run
from ..artifacts.temporary import scratch_folder
from ..data.packing import pack_split
from ..engine.run_parts import VALIDATION, run_parts
from ..engine.schedules import count_steps, steps_per_epoch
from ..reporting import Piece, Progress
from ..runtimes.native import NativeProcess
from .outputs import state_path
from .report import describe_epoch
from .run import Run


def run_natively(run: Run) -> None:
    """Trains a program in the native runner, which writes weights, state and history after every epoch. The
    samples are packed into a temporary folder first, as a device would get them.

    Raises:
        InputError: the runner refuses a file.
        UsageError: the settings don't fit the program, or the run that is to be resumed.
        CheckFailedError: loss, gradients or weights are not finite, or the runner crashed.
        InterruptedRun: Ctrl-C or SIGTERM; everything was saved.
    """
    step = 0
    if run.resume:
        # The runner reports only what is new.
        step = load_run(state_path(run.output)).record.step
    with scratch_folder() as folder:
        training, validation, history = folder / "train.ptd", folder / "test.ptd", folder / "history.json"
        pack_split(run.dataset.train, training, run.reporter)
        pack_split(run.dataset.test, validation, run.reporter)
        save_history(history, run.history)
        job = folder / "job.json"
        save_job(job, _job(run, training, validation, history))
        with NativeProcess(["train", job], what="fine-tuning") as process:
            try:
                with process.forwarding_signals():
                    _follow(process, run, step)
            finally:
                for note in process.notes():
                    run.reporter.warn(note)


def _job(run: Run, training: Path, validation: Path, history: Path) -> Job:
    augmentation = run.dataset.augmentation
    weights = run.program.weights_path
    return Job(
        program=run.program.path.absolute(),
        weights=None if weights is None else weights.absolute(),
        data=[training],
        validation=[validation],
        output=run.output.absolute(),
        history=history,
        resume=run.resume,
        augmentation=AugmentationRecord(
            flip=augmentation.flip,
            crop_padding=augmentation.crop_padding,
            images=list(augmentation.images),
            masks=augmentation.masks,
        ),
        log_steps=True,
        finetune=run.config.finetune,
        optimizer=run.config.optimizer,
        schedule=run.config.schedule,
    )


def _follow(process: NativeProcess, run: Run, step: int) -> None:
    """Shows what the runner reports from a step on."""
    settings = run.config.finetune
    per_epoch = steps_per_epoch(-(-len(run.dataset.train) // run.batch_size), settings.accumulate)
    total = count_steps(settings.epochs, per_epoch, settings.max_steps)
    done = step
    with _Bars(run, step, total, per_epoch) as bars:
        for event in process.events():
            if event["event"] == "step":
                bars.step(event)
            elif event["event"] == "epoch":
                record = EpochRecord.model_validate({k: v for k, v in event.items() if k != "event"})
                if record.val_loss is not None:
                    bars.validated()
                run.log.write(record)
                if record.epoch > 0:
                    metrics = run.program.manifest.contract.metrics
                    run.reporter.epoch(describe_epoch(record, metrics, settings.epochs))
                done = record.steps
    if done < total:
        run.reporter.info(f"stopped early: patience for a better epoch ended after {done} steps")


class _Bars:
    """What a user sees of a run: how far all of it is, and the steps of an epoch.

    Args:
        step: the steps that are done already.
        total, per_epoch: steps of the run, and of an epoch.
    """

    def __init__(self, run: Run, step: int, total: int, per_epoch: int) -> None:
        self._run, self._done, self._total, self._per_epoch = run, step, total, per_epoch
        settings, validated = run.config.finetune, len(run.dataset.test)
        rest = run_parts(
            step,
            step % per_epoch,
            total,
            per_epoch,
            samples=run.batch_size * settings.accumulate,
            validated=validated,
            every=settings.eval_every,
        )
        self._plan = rest if run.resume else [Piece(VALIDATION, validated), *rest]
        self._stack, self._inner = ExitStack(), ExitStack()
        self._steps: Progress | None = None
        self._meter = (0.0, 0.0)

    def __enter__(self) -> _Bars:
        self._parts = self._stack.enter_context(self._run.reporter.progress("fine-tuning", self._plan))
        self._stack.push(self._inner)
        return self

    def __exit__(self, *raised: Any) -> None:
        self._stack.__exit__(*raised)

    def step(self, event: dict[str, Any]) -> None:
        """A step is done."""
        epoch = self._done // self._per_epoch + 1
        end = min(epoch * self._per_epoch, self._total)
        if self._steps is None:
            title = f"epoch {epoch}/{self._run.config.finetune.epochs}"
            bar = self._run.reporter.progress(title, total=end - self._done)
            self._steps = self._inner.enter_context(bar)
        losses, counted = self._meter
        self._meter = losses, counted = losses + event["loss"] * event["count"], counted + event["count"]
        mean = losses / counted if counted else math.nan
        self._steps.advance(event["step"] - self._done, loss=mean, lr=event["learning_rate"])
        self._done = event["step"]
        if self._done == end:
            self._inner.close()
            self._steps, self._meter = None, (0.0, 0.0)
            self._parts.advance()

    def validated(self) -> None:
        """The validation after an epoch is done, or that before the first."""
        self._parts.advance()
