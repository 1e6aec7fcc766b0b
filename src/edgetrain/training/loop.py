"""Epochs: train, validate, keep the best, save what a resumed run needs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from ..artifacts.history import EpochRecord
from ..config.stages import TrainCommand
from ..data import Batch, BatchLoader
from ..engine.best import out_of_patience
from ..engine.epoch_log import EpochLog
from ..engine.hashing import weights_hash
from ..engine.interrupt import Interrupt
from ..engine.metrics import Meter, score
from ..engine.run_parts import run_parts
from ..engine.schedules import count_steps, learning_rate
from ..engine.step_hooks import StepHook
from ..errors import CheckFailedError, InterruptedRun
from ..models.states import tensors_of
from ..reporting import Piece, Progress, Reporter
from ..tasks import Task
from .learner import Learner, merge
from .report import describe
from .run_state import RunState
from .store import RunStore


class Loop:
    """One run from its current state to its last step.

    Args:
        loader: training batches.
        validation: test batches.
        task: what is learned; its metrics say which epoch is best.
        store: writes the run's files.
        hook: changes weights after each step.
        saved: whether the store's files are this run's already (it was resumed).
        log: is told of each epoch.
    """

    def __init__(
        self,
        config: TrainCommand,
        learner: Learner,
        loader: BatchLoader,
        validation: BatchLoader,
        task: Task,
        store: RunStore,
        state: RunState,
        interrupt: Interrupt,
        reporter: Reporter,
        *,
        hook: StepHook | None = None,
        saved: bool = False,
        log: EpochLog | None = None,
    ) -> None:
        self._learner = learner
        self._loader = loader
        self._validation = validation
        self._task = task
        self._store = store
        self._state = state
        self._interrupt = interrupt
        self._reporter = reporter
        self._config = config
        self._hook = hook
        self._log = log or EpochLog()
        self._saved_step = state.step if saved else None
        self.total_steps = count_steps(config.train.epochs, len(loader), config.train.max_steps)

    def run(self) -> None:
        """Trains to the end.

        Raises:
            CheckFailedError: loss or gradients are not finite; nothing on disk was overwritten.
            InterruptedRun: a stop was requested; the state was saved.
        """
        with self._reporter.progress("training", self._parts()) as parts:
            while not is_finished(self._state, self.total_steps, self._config.train.patience, self._hook):
                self._train_epoch()
                parts.advance()
                self._close_epoch()
                parts.advance()
        if self._state.step < self.total_steps and self._state.best is not None:
            self._reporter.info(f"stopped early: no epoch was better than epoch {self._state.best.epoch}")

    def _parts(self) -> list[Piece]:
        """What is left to do."""
        state = self._state
        return run_parts(
            state.step,
            state.batch,
            self.total_steps,
            len(self._loader),
            samples=self._loader.batch_size,
            validated=len(self._validation) * self._validation.batch_size,
        )

    def _train_epoch(self) -> None:
        """Trains until the epoch or the run ends."""
        state = self._state
        title = f"epoch {state.epoch + 1}/{self._config.train.epochs}"
        last = min(len(self._loader), state.batch + max(0, self.total_steps - state.step))
        with self._reporter.progress(title, total=last - state.batch) as bar:
            clock = time.perf_counter()
            for batch in self._batches(last):
                stop = self._step(batch, bar)
                now = time.perf_counter()
                state.train_time, clock = state.train_time + now - clock, now
                every = self._config.train.save_every
                if stop and state.step < self.total_steps:
                    self._stop()
                elif every and state.step % every == 0:
                    self._save()

    def _batches(self, last: int) -> Iterator[Batch]:
        """The batches of the epoch that are still to do."""
        start = self._state.batch
        if start < last:
            for count, batch in enumerate(self._loader.epoch(self._state.epoch, start=start), start + 1):
                yield batch
                if count == last:
                    return

    def _step(self, batch: Batch, bar: Progress) -> bool:
        """One optimizer step; says whether a stop was requested."""
        state, schedule = self._state, self._config.schedule
        lr = learning_rate(
            schedule, self._config.optimizer.lr, state.step, self.total_steps, len(self._loader)
        )
        outcome = self._learner.compute_gradients(batch)
        broken, stop = self._learner.world.any([not outcome.is_finite, self._interrupt.requested])
        if broken:
            what = "the gradient" if math.isfinite(outcome.loss) else "the loss"
            raise self._not_finite(f"{what} is not finite at step {state.step + 1}", lr)
        self._learner.update(lr)
        state.meter.add(outcome.sums, outcome.samples)
        state.step, state.batch = state.step + 1, state.batch + 1
        if self._hook is not None:
            self._hook.after_step(self._learner.model, state.step, self.total_steps)
        bar.advance(1, loss=outcome.loss, lr=lr)
        return stop

    def _close_epoch(self) -> None:
        """Validates, keeps the weights if they are the best, saves, and moves on."""
        state = self._state
        record = self._validate()
        if record.val_loss is None or not math.isfinite(record.val_loss):
            raise self._not_finite(f"the validation loss is not finite after step {state.step}", None)
        state.records.append(record)
        if state.batch == len(self._loader):
            state.finish_epoch()
        # Piece of an epoch is no match for a whole one: the run can be resumed, and then never was there.
        whole = record.epoch <= state.epoch
        is_best = self._is_best(record, state.best, whole)
        if is_best:
            state.best, state.best_weights = record, weights_hash(tensors_of(self._learner.model))
        # The state first: it has all that a killed run needs to write the rest anew.
        self._save()
        if is_best:
            self._store.save_best(self._learner.model, record)
        self._log.write(record)
        self._reporter.epoch(describe(record, self._task.all_metrics, self._config.train.epochs, is_best))
        if state.step < self.total_steps and self._learner.world.any([self._interrupt.requested])[0]:
            self._stop(saved=True)

    def _is_best(self, record: EpochRecord, best: EpochRecord | None, whole: bool) -> bool:
        """Whether an epoch's weights are to be kept. Those of a model that a hook is still changing are only
        until others come."""
        if best is None:
            return True
        settled = self._hook is None or self._hook.settled(record.steps, self.total_steps)
        was_settled = self._hook is None or self._hook.settled(best.steps, self.total_steps)
        if settled != was_settled:
            return settled
        return whole and self._score(record) > self._score(best)

    def _validate(self) -> EpochRecord:
        start = time.perf_counter()
        with self._reporter.progress("validation", total=len(self._validation)) as bar:
            meter = self._learner.evaluate(_counted(self._validation, bar))
        trained = merge(self._state.meter, self._learner.world)
        return self._record(trained, meter, time.perf_counter() - start)

    def _record(self, trained: Meter, validation: Meter, val_time: float) -> EpochRecord:
        state, metrics = self._state, self._task.all_metrics
        record = EpochRecord(
            epoch=state.epoch + 1,
            train_time_s=state.train_time,
            train_time_per_sample_s=state.train_time / max(1, trained.samples),
            val_time_s=val_time,
            val_time_per_sample_s=val_time / max(1, validation.samples),
            steps=state.step,
            learning_rate=self._last_rate(),
        )
        figures = trained.figures(metrics), validation.figures(metrics)
        return record.with_figures("train", figures[0]).with_figures("val", figures[1])

    def _score(self, record: EpochRecord) -> list[float]:
        return score(record.figures("val"), self._task.all_metrics, self._task.best)

    def _last_rate(self) -> float:
        config, step = self._config, max(0, self._state.step - 1)
        return learning_rate(config.schedule, config.optimizer.lr, step, self.total_steps, len(self._loader))

    def _save(self) -> None:
        self._store.save_last(self._learner, self._state, self.total_steps)
        self._saved_step = self._state.step

    def _stop(self, *, saved: bool = False) -> None:
        if not saved:
            self._save()
        state = self._state
        epoch = state.epoch + 1 if state.batch else state.epoch
        raise InterruptedRun(f"stopped at epoch {epoch}, step {state.step}; continue with --resume")

    def _not_finite(self, what: str, lr: float | None) -> CheckFailedError:
        if self._saved_step is None:
            kept = "no epoch was finished, so no weights were saved"
        else:
            kept = f"the last good weights (step {self._saved_step}) are kept in {self._store.last}"
        now = "" if lr is None else f" (now {lr:g})"
        return CheckFailedError(
            f"{what} (epoch {self._state.epoch + 1}); {kept}; lower the learning rate{now}"
        )


def is_finished(
    state: RunState, total_steps: int, patience: int | None = None, hook: StepHook | None = None
) -> bool:
    """Whether all steps are done and the last weights are validated, or no better epoch is waited for.

    Args:
        hook: as long as it changes the model, there is patience.
    """
    if not state.records:
        return False
    best = state.best
    settled = best is not None and (hook is None or hook.settled(best.steps, total_steps))
    if settled and best is not None and out_of_patience(state.records, best.epoch, patience):
        return True
    return state.step >= total_steps and state.records[-1].steps == state.step


def _counted(loader: BatchLoader, bar: Progress) -> Iterator[Batch]:
    for batch in loader.epoch(0):
        yield batch
        bar.advance()
