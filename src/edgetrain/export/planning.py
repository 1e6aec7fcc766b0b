"""From a model that is ready for its update to a program with its memory planned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..config.stages import ExportCommand
from ..errors import UsageError
from ..upstream.shapes import known_shapes
from ..upstream.tracing import plain_tracing
from .batches import Batch
from .capture import capture
from .edge import to_edge_dialect
from .joint import make_joint
from .lowering import lower
from .pipeline import Captured, Lowered, Recipe, Subject
from .preflight import check_captured, check_operators
from .recipes import training_recipe
from .stations import Done, ignore

# Plans that are made on the way to one within a budget of activations.
_TRIES = 3


def plan_program(subject: Subject, example: Batch, samples: Batch | None, done: Done = ignore) -> Lowered:
    """The whole program of a model.

    Args:
        samples: of `export.calibration`.
    Raises:
        CheckFailedError: the runtime can't execute it.
        UsageError: `train` takes more than `export.recompute` allows.
    """

    def plan(command: ExportCommand) -> Lowered:
        with plain_tracing(), known_shapes():
            captured = _captured(subject, example, samples)
            done("captured")
            return lower_captured(captured, training_recipe(command), subject.origin, done)

    return _within_budget(subject, plan)


def plan_step(subject: Subject, example: Batch, samples: Batch | None) -> Lowered:
    """The program as far as the memory of a training step depends on it.

    Raises:
        as `plan_program`.
    """

    def plan(command: ExportCommand) -> Lowered:
        settings = command.export
        captured = _captured(subject, example, samples)
        if settings.backbone == "none":  # the other methods say where a backbone ends, and nothing else
            captured = replace(
                captured,
                graphs={"train": captured.graphs["train"]},
                signatures={"train": captured.signatures["train"]},
            )
        # A method for gradients beside `train` changes nothing about it.
        in_graph = "off" if settings.update_in_graph == "off" else "on"
        recipe = training_recipe(_changed(command, update_in_graph=in_graph))
        return lower_captured(captured, recipe, subject.origin)

    return _within_budget(subject, plan)


def lower_captured(captured: Captured, recipe: Recipe, origin: str, done: Done = ignore) -> Lowered:
    """From captured graphs to a program ready to be written.

    Raises:
        CheckFailedError: the runtime can't execute it; says what and where.
    """
    for change in recipe.steps.captured:
        captured = change(captured)
    if recipe.training:
        check_captured(captured.graphs["train"])
    joint = make_joint(captured)
    for step in recipe.steps.joint:
        joint = step(joint)
    done("joint")
    edge = to_edge_dialect(joint, recipe, origin)
    check_operators(edge, recipe, origin)
    for rewrite in recipe.steps.edge:
        edge = rewrite(edge)
    done("edge")
    lowered = lower(edge, recipe)
    done("lowered")
    return lowered


def _within_budget(subject: Subject, plan: Callable[[ExportCommand], Lowered]) -> Lowered:
    """A plan whose `train` keeps the budget that `export.recompute` may name.

    Recomputation is chosen before the update is in the graph and operators have their order. Where the plan
    that follows takes more than was allowed, another is made for as much less, and a little; at last, one for
    as little as there is.
    """
    allowed = subject.settings.recompute_budget
    if allowed is None:
        return plan(subject.config)
    aim, found = allowed, []
    for _ in range(_TRIES):
        lowered = plan(_changed(subject.config, recompute=f"budget:{aim}"))
        found.append(lowered.arena_bytes["train"][0])
        if found[-1] <= allowed:
            return lowered
        if aim == 0:
            break
        aim -= found[-1] - allowed + (allowed >> 5)
        if len(found) == _TRIES - 1 or aim < 0:
            aim = 0
    raise UsageError(
        f"export.recompute allows {allowed:,} bytes for activations, and the least plan found for a training "
        f"step has {min(found):,}; allow that much, or plan smaller batches with --max-batch-size or "
        "--micro-batch"
    )


def _captured(subject: Subject, example: Batch, samples: Batch | None) -> Captured:
    return replace(capture(subject, example), samples={} if samples is None else samples.inputs)


def _changed(command: ExportCommand, **settings: str) -> ExportCommand:
    return command.model_copy(update={"export": command.export.model_copy(update=settings)})
