"""The fine-tuning loop, the same for every runtime."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NoReturn

import torch
from torch import Tensor, nn

from ..artifacts.history import EpochRecord
from ..artifacts.specs import Task
from ..config.stages import FinetuneCommand
from ..data import BatchLoader
from ..engine.interrupt import Interrupt
from ..engine.metrics import Meter, count_correct
from ..engine.optimizers import make_optimizer, set_learning_rate
from ..engine.run_state import RunState
from ..engine.schedules import learning_rate
from ..errors import CheckFailedError, InterruptedRun
from ..reporting import Reporter
from ..runtimes import Session
from .report import describe_epoch


class Finetuner:
    """Trains a loaded program.

    Args:
        state: where the run stands; changed as it goes on.
        save: called after each epoch, and when the run is interrupted, to put everything on disk.
        optimizer_state: of the run to be resumed.
    """

    def __init__(
        self,
        config: FinetuneCommand,
        task: Task,
        session: Session,
        training: BatchLoader,
        validation: BatchLoader,
        total_steps: int,
        state: RunState,
        save: Callable[[Finetuner], None],
        interrupt: Interrupt,
        reporter: Reporter,
        optimizer_state: dict | None = None,
    ) -> None:
        self.config = config
        self.task = task
        self.session = session
        self.training = training
        self.validation = validation
        self.total_steps = total_steps
        self.state = state
        self.save = save
        self.interrupt = interrupt
        self.reporter = reporter
        self.optimizer: torch.optim.Optimizer | None = None
        self._parameters: dict[str, nn.Parameter] = {}
        self._optimizer_state = optimizer_state
        self._steps_per_epoch = len(training)

    def run(self) -> None:
        """Trains to the end of the run.

        Raises:
            CheckFailedError: loss or gradients are not finite.
            InterruptedRun: Ctrl-C or SIGTERM; everything was saved.
        """
        state = self.state
        if not state.records:
            state.records.append(self._validated(EpochRecord(epoch=0), "before"))
            # The weights are the program's own: an interruption leaves nothing to save yet.
            self._stop_if_asked(save=False)
        while state.step < self.total_steps:
            record = self._train_epoch()
            last = state.step >= self.total_steps
            every = self.config.finetune.eval_every
            if last or (every and record.epoch % every == 0):
                record = self._validated(record, f"epoch {record.epoch}")
            self.reporter.info(describe_epoch(record, self.config.finetune.epochs))
            self._check_tuned(record)
            state.records.append(record)
            if state.batch >= self._steps_per_epoch:
                state.finish_epoch()
            self.save(self)
            if state.step < self.total_steps:
                self._stop_if_asked(save=False)

    def _train_epoch(self) -> EpochRecord:
        """Runs to the end of the epoch, or of the run."""
        state = self.state
        remaining = min(self._steps_per_epoch - state.batch, self.total_steps - state.step)
        lr = 0.0
        label = f"epoch {state.epoch + 1}"
        with self.reporter.progress(label, total=remaining) as bar:
            for batch in self.training.epoch(state.epoch, state.batch):
                started = time.perf_counter()
                lr = self._learning_rate()
                loss, predictions = self.session.forward_backward(batch.inputs, batch.targets)
                self._check_finite(loss)
                self._update(lr)
                state.train_time += time.perf_counter() - started
                correct = count_correct(self.task, predictions, batch.targets)
                state.meter.add(loss, None if correct is None else float(correct), len(batch.inputs))
                state.batch, state.step = state.batch + 1, state.step + 1
                bar.advance(loss=state.meter.loss, lr=lr)
                if state.step >= self.total_steps:
                    break
                if state.batch < self._steps_per_epoch:
                    self._stop_if_asked(save=True)
        return EpochRecord(
            epoch=state.epoch + 1,
            train_loss=state.meter.loss,
            train_accuracy=state.meter.accuracy,
            train_time_s=state.train_time,
            train_time_per_sample_s=state.train_time / max(1, state.meter.samples),
            steps=state.step,
            learning_rate=lr,
        )

    def _learning_rate(self) -> float:
        return learning_rate(
            self.config.schedule,
            self.config.optimizer.lr,
            self.state.step,
            self.total_steps,
            self._steps_per_epoch,
        )

    def _update(self, lr: float) -> None:
        """One optimizer step, in place on the memory the program computes with."""
        if self.optimizer is None:
            live = self.session.parameters
            self._parameters = {name: nn.Parameter(tensor) for name, tensor in live.items()}
            self.optimizer = make_optimizer(self.config.optimizer, self._parameters.values())
            if self._optimizer_state is not None:
                self.optimizer.load_state_dict(self._optimizer_state)
        for name, parameter in self._parameters.items():
            parameter.grad = self.session.gradients[name]
        set_learning_rate(self.optimizer, lr)
        self.optimizer.step()

    def _check_finite(self, loss: float) -> None:
        if math.isfinite(loss) and _all_finite(self.session.gradients):
            return
        self._fail(f"loss or gradients are not finite at step {self.state.step + 1}")

    def _check_tuned(self, record: EpochRecord | None = None) -> None:
        """What the last step made of the weights shows in no training loss any more."""
        good = record is None or record.val_loss is None or math.isfinite(record.val_loss)
        if not good or not _all_finite(self.session.changed_tensors()):
            self._fail(f"the weights or their validation loss are not finite after step {self.state.step}")

    def _fail(self, what: str) -> NoReturn:
        finished = [r for r in self.state.records if r.epoch > 0]
        kept = (
            f"the output still holds the weights after epoch {finished[-1].epoch}"
            if finished
            else "no new weights were written"
        )
        raise CheckFailedError(f"{what}; {kept}; lower the learning rate (now {self._learning_rate():g})")

    def _validated(self, record: EpochRecord, label: str) -> EpochRecord:
        """The record with validation figures."""
        meter = Meter()
        started = time.perf_counter()
        with self.reporter.progress(f"{label}: validation", total=len(self.validation)) as bar:
            for batch in self.validation.epoch(0):
                loss, predictions = self.session.evaluate(batch.inputs, batch.targets)
                correct = count_correct(self.task, predictions, batch.targets)
                meter.add(loss, None if correct is None else float(correct), len(batch.inputs))
                bar.advance()
        elapsed = time.perf_counter() - started
        return record.model_copy(
            update={
                "val_loss": meter.loss,
                "val_accuracy": meter.accuracy,
                "val_time_s": elapsed,
                "val_time_per_sample_s": elapsed / max(1, meter.samples),
            }
        )

    def _stop_if_asked(self, *, save: bool) -> None:
        if not self.interrupt.requested:
            return
        if save:
            self._check_tuned()
            self.save(self)
        state = self.state
        if state.step == 0:
            raise InterruptedRun("stopped before the first step; nothing was written")
        where = f"in epoch {state.epoch + 1}" if state.batch else f"at the end of epoch {state.epoch}"
        raise InterruptedRun(
            f"stopped {where} after step {state.step}; weights and state are saved, go on with --resume"
        )


def _all_finite(tensors: dict[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())
