"""`export.update: budget:BYTES`: which parts of a model to train so that it takes no more memory than that.

Counted is what a training step takes (`StepMemory`): activations, weights that change and the optimizer's
state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from ...config.stages import ExportCommand
from ...config.update_rules import UpdateRule, write_update_rules
from ...errors import CheckFailedError, UsageError
from ...reporting import Reporter, megabytes
from ..batches import Batch, MakeBatch
from ..optimizers.state import states_of
from ..pipeline import Subject
from ..tuning import check_enough, rows_of
from ..updates import allowed_parameters
from ..updates.scheme import Scheme
from .evolution import best_set
from .memory_model import Floats, MemoryModel, Sizes, memory_model, sizes_of
from .options import Layer, layers_with_options, rules_of
from .sensitivity import by_accuracy, by_gradient

# Bytes as the real planner has them.
Plan = Callable[[Scheme], int]

# Sets that are planned on the way to the best one.
_TRIES = 6
# By what share of the budget the search aims lower after each set that turned out to take too much.
_CAUTION = 0.02
# Batches that gradients are measured on, and samples in each.
_BATCHES, _BATCH = 8, 32


@dataclass(frozen=True)
class Chosen:
    """What is trained under a budget.

    Attributes:
        budget, predicted, planned: bytes.
        gain: what it promises, as a share of training everything.
    """

    rules: list[UpdateRule]
    budget: int
    predicted: int
    planned: int
    gain: float

    @property
    def scheme(self) -> Scheme:
        """Its rules."""
        return Scheme(f"--update budget:{self.budget}", self.rules)

    @property
    def file(self) -> str:
        """Its rules as a file that `--update rules:FILE` takes."""
        about = f"chosen for at most {self.budget:,} bytes; planned are {self.planned:,}"
        return write_update_rules(self.rules, about)


def choose_update(
    subject: Subject,
    samples: Batch | None,
    make_batch: MakeBatch,
    plan: Plan,
    reporter: Reporter,
) -> Chosen:
    """Searches what to train.

    Sensitivities say what each part of a layer gains, a model of the memory what a set of parts takes. The
    search finds the best set by both; the real planner says what it takes in truth, from which the model
    learns, until the best set has been planned.

    Args:
        subject: unchanged.
        samples: of `export.calibration`.
        make_batch: random samples, where these are not given.
        plan: raises CheckFailedError where the runtime can't train these.
    Raises:
        UsageError: the budget is below the least that is found, which is named, or nothing may be trained.
        CheckFailedError: the runtime can train nothing of the model.
    """
    settings = subject.settings
    assert settings.budget is not None
    if samples is not None and settings.sensitivity == "accuracy":
        check_enough(samples, settings.calibration)
    search = _Search(subject, settings.budget, make_batch(0, 1), plan, reporter)
    batches = _batches(subject, samples, make_batch, reporter)
    if samples is not None and settings.sensitivity == "accuracy":
        gains = by_accuracy(subject, search.layers, batches, samples, reporter)
    else:
        gains = by_gradient(subject, search.layers, batches)
    chosen = search.run(gains)
    reporter.info(
        f"training under {megabytes(settings.budget)}: predicted {megabytes(chosen.predicted)}, planned "
        f"{megabytes(chosen.planned)}, {100 * chosen.gain:.0f} % of what training everything promises"
    )
    return chosen


def _batches(
    subject: Subject, samples: Batch | None, make_batch: MakeBatch, reporter: Reporter
) -> list[Batch]:
    """What gradients are measured on."""
    if samples is None:
        reporter.warn(
            "without --calibration, what a part of the model gains is measured on random samples, which say "
            "little about the task"
        )
        return [make_batch(draw, _BATCH) for draw in range(_BATCHES)]
    starts = range(0, min(len(samples), _BATCHES * _BATCH), _BATCH)
    return [rows_of(samples, range(start, min(start + _BATCH, len(samples)))) for start in starts]


class _Search:
    """The sets that one model can be trained by, and what was planned of them.

    Attributes:
        layers: with the options of each.
        planned: bytes by set, a number of an option for each layer; None where the runtime can't.
        refusal: why, the last time.
    """

    def __init__(self, subject: Subject, budget: int, example: Batch, plan: Plan, reporter: Reporter) -> None:
        module, settings = subject.module, subject.settings
        allowed = allowed_parameters(module, settings)
        self.layers = layers_with_options(module, example.inputs, allowed)
        if settings.backbone != "none":  # which some frozen layer has to be in
            self.layers[0] = replace(self.layers[0], options=self.layers[0].options[:1])
        if not any(layer.options[1:] for layer in self.layers):
            raise UsageError(
                f"--update {settings.update} finds nothing to train; allow more with --trainable"
            )
        self.budget, self.plan, self.reporter = budget, plan, reporter
        self.seed, self.update = settings.seed, settings.update
        self.planned: dict[tuple[int, ...], int | None] = {}
        self.refusal: CheckFailedError | UsageError | None = None
        sizes = sizes_of(module, example.inputs, self.layers, settings.planned_batch_size)
        self.model = _memory_model(subject.config, self.layers, sizes, dict(module.named_parameters()))

    def run(self, gains: Floats) -> Chosen:
        """The best set."""
        counts = [len(layer.options) for layer in self.layers]
        everything = tuple(count - 1 for count in counts)
        predicted = self._predict(everything)
        if self._fits(everything):
            return self._chosen(everything, predicted, gains)
        last = int(np.flatnonzero(everything)[-1])
        head = tuple(option if at == last else 0 for at, option in enumerate(everything))
        if self._fits(head):
            found = self._search(gains, head, kept={last: head[last]})
        else:
            found = self._search(gains, self._least(head), kept={})
        return self._chosen(*found, gains)

    def _search(
        self, gains: Floats, known: tuple[int, ...], *, kept: Mapping[int, int]
    ) -> tuple[tuple[int, ...], int]:
        """The best set, and what was predicted of it.

        Args:
            known: a set within the budget.
            kept: options by layer that are settled.
        """
        best, predicted = known, self._predict(known)
        counts = [len(layer.options) for layer in self.layers]
        failures = 0
        for _ in range(_TRIES):
            refused = [s for s, bytes_ in self.planned.items() if bytes_ is None or bytes_ > self.budget]
            found = best_set(
                self.model,
                gains,
                round(self.budget * (1 - _CAUTION * failures)),
                counts,
                kept=kept,
                refused=refused,
                least_first=self._least_first(),
                seed=self.seed,
            )
            if found is None or found == best or _gain(gains, found) <= _gain(gains, best):
                break
            guess = self._predict(found)
            if self._fits(found):
                best, predicted, failures = found, guess, 0
            else:
                failures += 1
        return best, predicted

    def _least(self, head: tuple[int, ...]) -> tuple[int, ...]:
        """The smallest set that was found, of those that train a part of one layer.

        Raises:
            UsageError: it is above the budget.
        """
        single = [
            tuple(option if other == at else 0 for other in range(len(self.layers)))
            for at, layer in enumerate(self.layers)
            for option in range(1, len(layer.options))
        ]
        of_head = [one for one in single if one[int(np.argmax(head))]]
        likely = {min(of_head, key=self._predict), min(single, key=self._predict)}
        found = {one: bytes_ for one in sorted(likely) if (bytes_ := self._plan(one)) is not None}
        if not found:
            assert self.refusal is not None
            raise self.refusal
        least = min(found, key=found.__getitem__)
        if found[least] > self.budget:
            trained = self.layers[int(np.argmax(least))].name or "the model's own parameters"
            raise UsageError(
                f"--update {self.update}: the least found for training is {found[least]:,} bytes, for a part "
                f"of {trained}; give budget:{found[least]} or more, or plan smaller batches with "
                "--max-batch-size or --micro-batch"
            )
        return least

    def _fits(self, options: tuple[int, ...]) -> bool:
        planned = self._plan(options)
        return planned is not None and planned <= self.budget

    def _plan(self, options: tuple[int, ...]) -> int | None:
        """What the real planner has for a set; None where the runtime can't train it, or other settings don't
        allow it."""
        if options not in self.planned:
            try:
                self.planned[options] = self.plan(Scheme(f"--update {self.update}", self._rules(options)))
            except (CheckFailedError, UsageError) as error:  # of UsageError: what other settings don't allow
                self.reporter.detail(f"not possible: {error}")
                self.planned[options], self.refusal = None, error
            planned = self.planned[options]
            if planned is not None:
                self.reporter.detail(f"planned {megabytes(planned)} for {self._text(options)}")
                self.model.learn(options, planned)
        return self.planned[options]

    def _least_first(self) -> int:
        """No layer before this one can be trained: sets that reach there were refused by the runtime."""
        return max((self._first(s) + 1 for s, bytes_ in self.planned.items() if bytes_ is None), default=0)

    def _first(self, options: tuple[int, ...]) -> int:
        return int(self.model.first(np.array([options]))[0])

    def _predict(self, options: tuple[int, ...]) -> int:
        return round(float(self.model.predict(np.array([options]))[0]))

    def _rules(self, options: tuple[int, ...]) -> list[UpdateRule]:
        return rules_of([layer.options[at] for layer, at in zip(self.layers, options, strict=True)])

    def _text(self, options: tuple[int, ...]) -> str:
        return ", ".join(f"{rule.pattern}: {rule.train}" for rule in self._rules(options))

    def _chosen(self, options: tuple[int, ...], predicted: int, gains: Floats) -> Chosen:
        planned = self.planned[options]
        assert planned is not None
        return Chosen(self._rules(options), self.budget, predicted, planned, _gain(gains, options))


def _gain(gains: Floats, options: Sequence[int]) -> float:
    return float(gains[np.arange(len(options)), list(options)].sum())


def _memory_model(
    command: ExportCommand, layers: Sequence[Layer], sizes: Sequence[Sizes], parameters: Mapping[str, Tensor]
) -> MemoryModel:
    settings, (name, any_of_them) = command.export, next(iter(parameters.items()))
    in_graph = settings.update_in_graph != "off"
    states = len(states_of(command.optimizer, {name: any_of_them}))
    sums = int(settings.micro_batch is not None)
    return memory_model(
        layers,
        sizes,
        parameters,
        copies=1 + states + sums,
        gradients_stay=not in_graph,
        products_written=in_graph and command.optimizer.name == "sgd",
    )
