"""The fine-tuning loop, the same for every runtime of this process."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

import torch
from torch import Tensor

from ..artifacts.history import EpochRecord, Part
from ..artifacts.run_state import RunRecord
from ..config.stages import FinetuneCommand
from ..data import BatchLoader
from ..data.loader import Batch
from ..engine.best import is_best, out_of_patience
from ..engine.epoch_log import EpochLog
from ..engine.interrupt import Interrupt
from ..engine.metrics import Meter
from ..engine.run_parts import VALIDATION, run_parts
from ..engine.schedules import learning_rate, steps_per_epoch
from ..errors import CheckFailedError, InterruptedRun
from ..reporting import Piece, Progress, Reporter
from ..runtimes import Session
from ..runtimes.stepping import Stepper
from .report import describe_epoch


class Finetuner:
    """Trains a loaded program.

    Args:
        record: where the run stands; changed as it goes on.
        best: weights of the best epoch so far, where these are kept; replaced as better ones come.
        save: called after each epoch, every `save_every` steps, and when the run is interrupted, to put
            everything on disk.
        log: is told of each epoch.
    """

    def __init__(
        self,
        config: FinetuneCommand,
        session: Session,
        stepper: Stepper,
        training: BatchLoader,
        validation: BatchLoader,
        record: RunRecord,
        best: dict[str, Tensor],
        save: Callable[[], None],
        interrupt: Interrupt,
        log: EpochLog,
        reporter: Reporter,
    ) -> None:
        self.config = config
        self.session = session
        self.stepper = stepper
        self.training = training
        self.validation = validation
        self.run_record = record
        self.best = best
        self.save = save
        self.interrupt = interrupt
        self.log = log
        self.reporter = reporter
        self._metrics = session.contract.metrics
        self._meter = Meter(record.sums, record.samples)
        self._saved_at = record.step

    def run(self) -> None:
        """Trains to the end of the run.

        Raises:
            CheckFailedError: loss or gradients are not finite.
            InterruptedRun: Ctrl-C or SIGTERM; everything was saved.
        """
        run = self.run_record
        with self.reporter.progress("fine-tuning", self._parts()) as parts:
            if not run.epochs:
                run.epochs.append(self._validated(self._blank(0), "before"))
                parts.advance()
                self.log.write(run.epochs[0])
                # The weights are the program's own: an interruption leaves nothing to save yet.
                self._stop_if_asked(save=False)
            while run.step < run.total_steps and not self._stops_early():
                self._take_epoch(parts)

    def _take_epoch(self, parts: Progress) -> None:
        """Trains, validates, and saves."""
        run = self.run_record
        record = self._train_epoch()
        parts.advance()
        last = run.step >= run.total_steps
        every = self.config.finetune.eval_every
        if last or (every and record.epoch % every == 0):
            record = self._validated(record, f"epoch {record.epoch}")
            parts.advance()
        self.reporter.epoch(describe_epoch(record, self._metrics, self.config.finetune.epochs))
        self._check_tuned(record)
        self._keep_if_best(record)
        run.epochs.append(record)
        if run.batch >= len(self.training):
            self._finish_epoch()
        self._save()
        self.log.write(record)
        if run.step < run.total_steps:
            self._stop_if_asked(save=False)

    def _parts(self) -> list[Piece]:
        """What is left to do."""
        run, settings = self.run_record, self.config.finetune
        validated = len(self.validation) * self.validation.batch_size
        before = [] if run.epochs else [Piece(VALIDATION, validated)]
        return before + run_parts(
            run.step,
            run.batch // settings.accumulate,
            run.total_steps,
            steps_per_epoch(len(self.training), settings.accumulate),
            samples=self.training.batch_size * settings.accumulate,
            validated=validated,
            every=settings.eval_every,
        )

    def _train_epoch(self) -> EpochRecord:
        """Runs to the end of the epoch, or of the run."""
        run, settings = self.run_record, self.config.finetune
        per_epoch = steps_per_epoch(len(self.training), settings.accumulate)
        remaining = min(per_epoch - run.batch // settings.accumulate, run.total_steps - run.step)
        lr = 0.0
        with self.reporter.progress(f"epoch {run.epoch + 1}/{settings.epochs}", total=remaining) as bar:
            for batches in _grouped(self.training.epoch(run.epoch, run.batch), settings.accumulate):
                lr = self._learning_rate()
                self._step(batches, lr)
                bar.advance(loss=self._meter.figure(self._metrics[0]), lr=lr)
                if run.step >= run.total_steps:
                    break
                if run.batch < len(self.training):
                    if settings.save_every and run.step % settings.save_every == 0:
                        self._check_tuned()
                        self._save()
                    self._stop_if_asked(save=True)
        time_s = run.train_time_s
        record = self._blank(run.epoch + 1).model_copy(
            update={
                "train_time_s": time_s,
                "train_time_per_sample_s": time_s / max(1, run.samples),
                "steps": run.step,
                "learning_rate": lr,
            }
        )
        return record.with_figures("train", self._meter.figures(self._metrics))

    def _step(self, batches: list[Batch], lr: float) -> None:
        run = self.run_record
        started = time.perf_counter()
        outcomes = self.stepper.step([(batch.inputs, batch.targets) for batch in batches], lr)
        self._check_finite([outcome.loss for outcome in outcomes])
        run.train_time_s += time.perf_counter() - started
        for batch, outcome in zip(batches, outcomes, strict=True):
            self._meter.add(outcome.sums, len(batch))
        run.samples = self._meter.samples
        run.batch, run.step = run.batch + len(batches), run.step + 1
        run.optimizer_steps += 1

    def _keep_if_best(self, record: EpochRecord) -> None:
        run, settings = self.run_record, self.config.finetune
        if settings.best_by is None:
            return
        known = next((r for r in run.epochs if r.epoch == run.best_epoch), None)
        whole = run.batch >= len(self.training)
        if is_best(record, known, self._metrics, settings.best_by, whole=whole):
            run.best_epoch = record.epoch
            if settings.keep == "best":
                self.best.clear()
                self.best.update(self.session.changed_tensors())

    def _stops_early(self) -> bool:
        run = self.run_record
        early = out_of_patience(run.epochs, run.best_epoch, self.config.finetune.patience)
        if early:
            self.reporter.info(f"stopped early: no epoch was better than epoch {run.best_epoch}")
        return early

    def _finish_epoch(self) -> None:
        run = self.run_record
        self._meter = Meter()
        run.epoch, run.batch = run.epoch + 1, 0
        run.sums, run.samples, run.train_time_s = self._meter.sums, 0, 0.0

    def _learning_rate(self) -> float:
        return learning_rate(
            self.config.schedule,
            self.config.optimizer.lr,
            self.run_record.step,
            self.run_record.total_steps,
            steps_per_epoch(len(self.training), self.config.finetune.accumulate),
        )

    def _check_finite(self, losses: list[float]) -> None:
        if all(map(math.isfinite, losses)) and _all_finite(self.stepper.gradients):
            return
        self._fail(f"loss or gradients are not finite at step {self.run_record.step + 1}")

    def _check_tuned(self, record: EpochRecord | None = None) -> None:
        """What the last step made of the weights shows in no training loss any more."""
        good = record is None or record.val_loss is None or math.isfinite(record.val_loss)
        if not good or not _all_finite(self.session.changed_tensors()):
            step = self.run_record.step
            self._fail(f"the weights or their validation loss are not finite after step {step}")

    def _save(self) -> None:
        self.save()
        self._saved_at = self.run_record.step

    def _fail(self, what: str) -> NoReturn:
        saved = self._saved_at
        kept = (
            f"the output still holds the weights after step {saved}"
            if saved
            else "no new weights were written"
        )
        raise CheckFailedError(f"{what}; {kept}; lower the learning rate (now {self._learning_rate():g})")

    def _blank(self, epoch: int) -> EpochRecord:
        """A record that has every metric, without values."""
        record = EpochRecord(epoch=epoch)
        parts: tuple[Part, Part] = ("train", "val")
        for part in parts:
            record = record.with_figures(part, {metric.name: None for metric in self._metrics})
        return record

    def _validated(self, record: EpochRecord, label: str) -> EpochRecord:
        """The record with validation figures."""
        meter = Meter()
        started = time.perf_counter()
        with self.reporter.progress(f"{label}: validation", total=len(self.validation)) as bar:
            for batch in self.validation.epoch(0):
                outcome = self.session.evaluate(batch.inputs, batch.targets)
                meter.add(outcome.sums, len(batch))
                bar.advance()
        elapsed = time.perf_counter() - started
        timed = record.model_copy(
            update={"val_time_s": elapsed, "val_time_per_sample_s": elapsed / max(1, meter.samples)}
        )
        return timed.with_figures("val", meter.figures(self._metrics))

    def _stop_if_asked(self, *, save: bool) -> None:
        if not self.interrupt.requested:
            return
        if save:
            self._check_tuned()
            self._save()
        run = self.run_record
        if run.step == 0:
            raise InterruptedRun("stopped before the first step; nothing was written")
        where = f"in epoch {run.epoch + 1}" if run.batch else f"at the end of epoch {run.epoch}"
        raise InterruptedRun(
            f"stopped {where} after step {run.step}; weights and state are saved, go on with --resume"
        )


def _grouped(batches: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    while group := list(itertools.islice(batches, size)):
        yield group


def _all_finite(tensors: dict[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())
