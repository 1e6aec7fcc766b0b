"""The steps of a recipe, in their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from ..artifacts.optimization import Measured
from ..config.optimize import OptimizeConfig
from ..data import BatchLoader
from ..engine.step_hooks import StepHook
from ..models.transforms import apply_transforms
from .layers import surgery
from .pruning import PrunedLayer, PruneResult, losses_of, prune, sparse_layers
from .pruning.report import shrunk_layers, weight_shapes
from .quantization import QatSchedule
from .quantized import check_calibration, quantize, with_observers
from .retraining import retrain
from .work import Work

# Batches that first-order importance is measured on.
_TAYLOR_BATCHES = 8


@dataclass(frozen=True)
class Done:
    """A step that was taken.

    Attributes:
        details: what it did, as plain data.
        files: what it wrote beside the checkpoint, by kind.
        measured: figures of what it wrote, where these are not the model's.
    """

    work: Work
    details: Any
    files: Mapping[str, Path] = field(default_factory=dict)
    measured: Measured | None = None


@dataclass(frozen=True)
class Step:
    """A step.

    Attributes:
        wanted: whether a recipe has it.
        title: for people, as in "surgery (lite)".
        check: (work on a copy) → that work after the step, as far as the model's layers go, without training:
            finds out, before any step is taken, what can't be done.
        take: (work, stem of files to write, resume) → done.
    """

    name: str
    wanted: Callable[[OptimizeConfig], bool]
    title: Callable[[OptimizeConfig], str]
    take: Callable[[Work, Path, bool], Done]
    check: Callable[[Work], Work]


def _replace_layers(work: Work, stem: Path, resume: bool) -> Done:
    settings = work.config.optimize
    result = surgery(work.model, _rules(settings), inputs=work.example)
    for note in result.notes:
        work.reporter.detail(note)
    if not result.replaced:
        work.reporter.info("surgery found nothing to replace")
    work = _trained(work.changed(result.model, result.transforms), settings.surgery_epochs, stem, resume)
    replaced = [
        {"rule": rule, "old": old, "new": new, "times": times}
        for (rule, old, new), times in result.counts().items()
    ]
    places = [asdict(replacement) for replacement in result.replaced]
    details = {"replaced": replaced, "places": places, "notes": list(result.notes)}
    return Done(work, {**details, "difference": result.difference})


def _check_layers(work: Work) -> Work:
    settings = work.config.optimize
    if settings.surgery_epochs:
        work.data("epochs of training after surgery")
    result = surgery(work.model, _rules(settings), inputs=work.example)
    return work.changed(result.model, result.transforms)


def _rules(settings: OptimizeConfig) -> list[Any]:
    preset = [] if settings.surgery == "rules" else [settings.surgery]
    own = [] if settings.surgery_rules is None else [settings.surgery_rules]
    # The first rule that fits a place wins.
    return [*own, *preset, *settings.surgery_options]


def _prune(work: Work, stem: Path, resume: bool) -> Done:
    settings = work.config.optimize
    shapes = weight_shapes(work.model)
    result = _pruned(work, work.model)
    for layer, reason in result.left.items():
        work.reporter.detail(f"{layer} stays whole: {reason}")
    work = work.changed(result.model, result.transforms)
    work = _trained(work, settings.prune_epochs, stem, resume, result.hook)
    if result.afterwards:
        work = work.changed(apply_transforms(work.model, result.afterwards), result.afterwards)
    layers = [asdict(layer) for layer in _layers(shapes, work)]
    return Done(work, {"layers": layers, "left_whole": dict(result.left)})


def _pruned(work: Work, model: nn.Module) -> PruneResult:
    settings = work.config.optimize
    return prune(
        model,
        settings.prune_ratio,
        kind=settings.prune,
        scope=settings.prune_scope,
        importance=settings.prune_importance,
        skip=settings.prune_skip,
        inputs=work.example,
        losses=losses_of(work.task, _batches(work)) if settings.prune_importance == "taylor" else None,
        round_to=settings.prune_round,
        schedule=settings.prune_schedule,
    )


def _layers(before: dict[str, tuple[int, ...]], work: Work) -> tuple[PrunedLayer, ...]:
    """What pruning and training left of each layer."""
    if work.config.optimize.prune == "channel":
        return shrunk_layers(before, work.model)
    return sparse_layers(work.model, work.checkpoint.transforms)


def _batches(work: Work) -> list[Any]:
    data = work.data("first-order importances")
    train = work.config.train
    loader = BatchLoader(data.train, data.preprocessing, train.batch_size, shuffle=True, seed=train.seed)
    return [batch for _, batch in zip(range(_TAYLOR_BATCHES), loader.epoch(0), strict=False)]


def _check_pruning(work: Work) -> Work:
    settings = work.config.optimize
    if settings.prune_epochs:
        work.data("epochs of training with pruning")
    if settings.prune_importance == "taylor":
        work.data("first-order importances")
    result = _pruned(work, work.model)
    records = (*result.transforms, *result.afterwards)
    return work.changed(apply_transforms(result.model, result.afterwards), records)


def _round(work: Work, stem: Path, resume: bool) -> Done:
    settings = work.config.optimize
    before = work.as_float()
    if settings.quantize == "qat" and not work.is_observed:
        work = _trained(with_observers(work), settings.qat_epochs, stem, resume, QatSchedule())
    program = stem.with_suffix(".pte")
    found = quantize(before, work, program, stem.with_suffix(".png"), _ROUNDING.title(settings))
    return Done(work, found.details, {"program": program, "plot": stem.with_suffix(".png")}, found.measured)


def _trained(work: Work, epochs: int, stem: Path, resume: bool, hook: StepHook | None = None) -> Work:
    if not epochs:
        return work
    return retrain(work, epochs, stem.with_name(f"{stem.name}-training.pth"), resume=resume, hook=hook)


_ROUNDING = Step(
    "quantization",
    wanted=lambda settings: settings.quantize != "none",
    title=lambda settings: f"quantization ({settings.quantize})",
    check=check_calibration,
    take=_round,
)
STEPS: tuple[Step, ...] = (
    Step(
        "surgery",
        wanted=lambda settings: settings.surgery != "none",
        title=lambda s: (
            f"surgery ({s.surgery}{', own rules' if s.surgery_rules and s.surgery != 'rules' else ''})"
        ),
        check=_check_layers,
        take=_replace_layers,
    ),
    Step(
        "pruning",
        wanted=lambda settings: settings.prune != "none",
        title=lambda s: f"pruning ({s.prune}{'' if s.prune_ratio is None else f' {s.prune_ratio:.0%}'})",
        check=_check_pruning,
        take=_prune,
    ),
    _ROUNDING,
)
