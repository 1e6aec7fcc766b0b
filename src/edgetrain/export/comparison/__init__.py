"""What each of the ready-made updates would cost: `export --compare-updates`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ...artifacts.contract import Metric
from ...config.stages import ExportCommand
from ...errors import CheckFailedError, UsageError
from ...factories import NOTHING, Trusted
from ...reporting import SILENT, Reporter
from ..batches import Batch, batch_maker
from ..calibration import calibration_samples
from ..pipeline import Subject
from ..planning import plan_step
from ..preflight import check_gradients_reach
from ..stage import load_subject
from ..step_memory import step_memory
from ..tuning import check_enough, tuned_figure
from ..updates import prepare_update
from ..updates.order import layers_in_order
from ..verification import verification_sizes

# How many values of K are tried in `last:K`, besides 1 (`head`) and all (`full`).
_LAST = 4


@dataclass(frozen=True)
class UpdateCost:
    """What one update costs, as it would be planned.

    Attributes:
        update: as in `export.update`.
        trained: number of parameters that are trained.
        activations, weights, state: bytes of a training step, as in `StepMemory`.
        figure: what a short fine-tuning reached on samples held back; None without calibration data.
    """

    update: str
    trained: int
    activations: int
    weights: int
    state: int
    figure: float | None

    @property
    def total(self) -> int:
        """Bytes in all."""
        return self.activations + self.weights + self.state


@dataclass(frozen=True)
class Comparison:
    """The costs of several updates, by the number of parameters they train.

    Attributes:
        metric: what `figure` is; None where nothing was tuned.
    """

    costs: list[UpdateCost]
    metric: Metric | None


def compare_updates(
    config: ExportCommand,
    checkpoint: Path,
    *,
    trusted: Trusted = NOTHING,
    reporter: Reporter = SILENT,
) -> Comparison:
    """Plans a checkpoint's program for `head`, `bias`, `full`, `last:K` with a few K, and the update of the
    configuration. Nothing is written or verified. Updates that train the same are compared once.

    Raises:
        UsageError: the configuration says itself what is trained, other than by an update.
        InputError: the checkpoint or the calibration data are unusable.
        CheckFailedError: no update gives a program that trains.
    """
    settings = config.export
    if settings.trainable != ["*"]:
        raise UsageError("--compare-updates varies what is trained; leave out --trainable")
    if settings.update.startswith("budget:"):
        raise UsageError(
            f"--compare-updates doesn't search; leave out --update {settings.update}, or name the rules that "
            "a search found, as in --update rules:FILE"
        )
    first = load_subject(config, checkpoint, trusted)
    samples = calibration_samples(first, reporter, with_targets=True)
    if samples is not None:
        check_enough(samples, settings.calibration)
    metric = next(metric for metric in first.task.all_metrics if metric.name == first.task.best[0])
    few, _ = verification_sizes(settings.batch_norm, settings.planned_batch_size)
    example = batch_maker(first)(0, few[0])
    updates = _updates(settings.update, layers_in_order(first.module, example.inputs))
    costs: list[UpdateCost] = []
    seen: set[tuple[str, ...]] = set()
    failed: list[CheckFailedError | UsageError] = []
    with reporter.progress("comparing", total=len(updates)) as progress:
        for update in updates:
            progress.advance(now=update)
            subject = _prepare(load_subject(_with_update(config, update), checkpoint, trusted), example)
            trained = tuple(name for name, p in subject.module.named_parameters() if p.requires_grad)
            if trained in seen:
                continue
            seen.add(trained)
            try:
                costs.append(_cost(subject, example, samples, metric))
            except (CheckFailedError, UsageError) as error:
                failed.append(error)
                reporter.warn(f"{update} is left out: {error}")
    if not costs:
        raise failed[0]
    costs.sort(key=lambda cost: cost.trained)
    return Comparison(costs, metric if samples is not None else None)


def _updates(own: str, layers: list[str]) -> list[str]:
    """The updates to compare.

    Args:
        own: the configuration's.
        layers: of the model, in order.
    """
    count = len(layers)
    # As far from each other as powers are.
    some = sorted({round(count ** (i / (_LAST + 1))) for i in range(1, _LAST + 1)} - {0, 1, count})
    return list(dict.fromkeys(["head", "bias", *(f"last:{k}" for k in some), "full", own]))


def _with_update(config: ExportCommand, update: str) -> ExportCommand:
    return config.model_copy(update={"export": config.export.model_copy(update={"update": update})})


def _prepare(subject: Subject, example: Batch) -> Subject:
    """Makes the model, which is changed, ready for its update."""
    return replace(
        subject, transforms=prepare_update(subject.module, example.inputs, subject.settings, SILENT)
    )


def _cost(subject: Subject, example: Batch, samples: Batch | None, metric: Metric) -> UpdateCost:
    check_gradients_reach(subject, example, SILENT)
    lowered = plan_step(subject, example, samples)
    memory = step_memory(lowered, subject.config)
    parameters = dict(subject.module.named_parameters())
    return UpdateCost(
        update=subject.settings.update,
        trained=sum(parameters[name].numel() for name in lowered.edge.joint.trainable),
        activations=memory.activations,
        weights=memory.weights,
        state=memory.state,
        figure=None if samples is None else tuned_figure(subject, samples, metric),
    )
