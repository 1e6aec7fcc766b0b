"""The steps of a recipe, in their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..artifacts.optimization import Measured
from ..config.optimize import OptimizeConfig
from ..data import BatchLoader
from ..models.transforms import apply_transforms
from .pruning import PrunedLayer, losses_of, prune, sparse_layers
from .pruning.report import shrunk_layers, weight_shapes
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
        check: finds out, before any step is taken, what can't be done.
        take: (work, stem of files to write, resume) → done.
    """

    name: str
    wanted: Callable[[OptimizeConfig], bool]
    title: Callable[[OptimizeConfig], str]
    take: Callable[[Work, Path, bool], Done]
    check: Callable[[Work], None] = lambda work: None


def _prune(work: Work, stem: Path, resume: bool) -> Done:
    settings = work.config.optimize
    shapes = weight_shapes(work.model)
    result = prune(
        work.model,
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
    work = work.changed(result.model, result.transforms)
    if settings.prune_epochs:
        training = stem.with_name(f"{stem.name}-training.pth")
        work = retrain(work, settings.prune_epochs, training, resume=resume, hook=result.hook)
    if result.afterwards:
        work = work.changed(apply_transforms(work.model, result.afterwards), result.afterwards)
    layers = [asdict(layer) for layer in _layers(shapes, work)]
    return Done(work, {"layers": layers, "left_whole": dict(result.left)})


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


STEPS: tuple[Step, ...] = (
    Step(
        "pruning",
        wanted=lambda settings: settings.prune != "none",
        title=lambda s: f"pruning ({s.prune}{'' if s.prune_ratio is None else f' {s.prune_ratio:.0%}'})",
        take=_prune,
    ),
)
