"""What training a part of a model promises to gain, measured on samples."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from ...models.calling import call_model
from ...reporting import SILENT, Reporter
from ...tasks.outputs import named_outputs
from ..batches import Batch
from ..pipeline import Subject
from ..tuning import rows_of, tuned_figure
from ..updates import prepare_update
from ..updates.scheme import Scheme
from .memory_model import Floats
from .options import FROZEN, Layer, Option

# Of a short fine-tuning by one option alone.
_STEPS = 20
# How much the norms of gradients count beside what was tuned: they decide where that is equal.
_TIES = 1e-3


def by_gradient(subject: Subject, layers: Sequence[Layer], batches: Sequence[Batch]) -> Floats:
    """Squared norms of the gradients of what is trained, means over batches: to first order what a step of
    gradient descent takes off the loss. In evaluation mode, so that nothing is random.

    Returns:
        [layers, options], as shares of all that training everything gains; zero beyond a layer's options.
    """
    model, task = copy.deepcopy(subject.module).requires_grad_(True).eval(), subject.task
    squares: dict[str, Tensor] = {}
    parameters = dict(model.named_parameters())
    for batch in batches:
        model.zero_grad()
        task.loss(named_outputs(call_model(model, batch.inputs)), batch.targets).backward()
        for name, parameter in parameters.items():
            if parameter.grad is not None:
                by_row = (
                    parameter.grad.double().square().reshape(len(parameter) if parameter.dim() else 1, -1)
                )
                squares[name] = squares.get(name, 0) + by_row.sum(1) / len(batches)

    def gain(option: Option) -> float:
        return sum(
            float(squares[p.parameter][: p.rows].sum()) for p in option.pieces if p.parameter in squares
        )

    return _shares(layers, gain)


def by_accuracy(
    subject: Subject, layers: Sequence[Layer], batches: Sequence[Batch], samples: Batch, reporter: Reporter
) -> Floats:
    """How much better the model's best metric becomes on samples held back when it is fine-tuned by each
    option alone, as in the contribution analysis of MCUNetV3 (arXiv 2206.15472).

    Args:
        batches: those of `by_gradient`, which decides between options that tuned equally well.
        samples: to tune on, and to judge by.
    Returns:
        as `by_gradient`.
    """
    task = subject.task
    metric = next(metric for metric in task.all_metrics if metric.name == task.best[0])
    example = rows_of(samples, [0])
    sign = 1 if metric.better == "higher" else -1

    def figure(option: Option) -> float:
        """The metric after a fine-tuning, so that more is better."""
        tuned = replace(subject, module=copy.deepcopy(subject.module))
        if option.rules:
            scheme = Scheme("--update budget", list(option.rules))
            prepare_update(tuned.module, example.inputs, subject.settings, SILENT, scheme)
        return sign * tuned_figure(tuned, samples, metric, _STEPS if option.rules else 0)

    count = sum(len(layer.options) - 1 for layer in layers)
    with reporter.progress("measuring sensitivity", total=count) as progress:
        before = figure(FROZEN)

        def gain(option: Option) -> float:
            if not option.rules:
                return 0.0
            gained = max(figure(option) - before, 0.0)
            progress.advance()
            return gained

        tuned = _shares(layers, gain)
    return (tuned + _TIES * by_gradient(subject, layers, batches)) / (1 + _TIES)


def _shares(layers: Sequence[Layer], gain: Callable[[Option], float]) -> Floats:
    gains = np.zeros((len(layers), max(len(layer.options) for layer in layers)))
    for row, layer in zip(gains, layers, strict=True):
        row[: len(layer.options)] = [gain(option) for option in layer.options]
    whole = sum(row[len(layer.options) - 1] for row, layer in zip(gains, layers, strict=True))
    return np.asarray(gains / whole if whole else gains)
