"""Pruning in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from torch import Tensor, nn

from ...artifacts.transforms import Transform
from ...engine.step_hooks import StepHook
from ...errors import UsageError
from ...models.names import layer_of, matching
from ...models.transforms import apply_transforms
from ...models.transforms.zeros import is_sparse
from .channels import prune_channels, removed_rows
from .importance import Importance, Loss, score_weights
from .report import PrunedLayer, shrunk_layers, sparse_layers, weight_shapes
from .schedules import BlendedChannels, BlendedWeights, GradualPruning, Schedule
from .weights import Scope, Sparsity, choose_layers, masks_of, read_pattern, records_of, set_zeros

_SKIP = "to be skipped:"


@dataclass(frozen=True)
class PruneResult:
    """A pruned model, or one that is about to be.

    Attributes:
        model: the model that was given, changed.
        transforms: what was done to it.
        report: the layers as they are now; of a schedule, as they were at its start.
        left: layers that were left whole, and why.
        hook: with a schedule, what has to be called after each step of training.
        afterwards: what is still to be done to the trained model (`apply_transforms`): with a schedule for
            channels, cutting them.
    """

    model: nn.Module
    transforms: tuple[Transform, ...]
    report: tuple[PrunedLayer, ...]
    left: Mapping[str, str] = field(default_factory=dict)
    hook: StepHook | None = None
    afterwards: tuple[Transform, ...] = ()


def prune(
    model: nn.Module,
    ratio: float | None = None,
    *,
    kind: str = "channel",
    scope: Scope | None = None,
    importance: Importance = "magnitude",
    skip: Sequence[str] = (),
    inputs: Mapping[str, Tensor] | None = None,
    losses: Sequence[Loss] | None = None,
    round_to: int = 1,
    schedule: Schedule = "once",
    over: float = 0.5,
) -> PruneResult:
    """Prunes a model, in place.

    Channels are cut off with all that belongs to them, so that the model is smaller and faster everywhere.
    Single weights become zero, and stay so while the model is trained, here and on a device. The model's
    outputs stay what they are.

    Args:
        ratio: the share of channels or weights that go; for N:M the pattern says it.
        kind: `channel`, `unstructured`, or N:M (`2:4`): of each M weights in a row of a layer's inputs, N
            become zero.
        scope: `layer`: each loses the same share, the usual case for channels; `global`: the least important
            of all go, the usual case for single weights.
        importance: `magnitude` (of a channel, the sum of squares), `l1`, or `taylor`, measured on `losses`.
        skip: patterns of the layers whose channels or weights all stay.
        inputs: of an example batch, by name, for channels.
        losses: for `taylor`, one for each batch (`losses_of`).
        round_to: the channels that are left are a multiple of it.
        schedule: `once`, or by a hook during training: `gradual`, more weights with every step, or `blend`,
            all of them fading.
        over: the share of the training's steps that the schedule takes.
    Raises:
        UsageError: the settings don't fit each other, or the model.
    """
    _check_settings(ratio, kind, scope, importance, round_to, schedule, over)
    skipped = _skipped(model, skip)
    if kind == "channel":
        assert ratio is not None
        if inputs is None:
            raise UsageError("channels are followed through the model by an example: give its inputs")
        _check_whole(model)
        records, left = prune_channels(
            model,
            inputs,
            ratio,
            ranked_globally=scope == "global",
            scores=score_weights(model, importance, losses),
            importance=importance,
            skipped=skipped,
            round_to=round_to,
        )
        before = weight_shapes(model)
        if schedule == "blend":
            fading = BlendedChannels(removed_rows(model, records), over)
            return PruneResult(model, (), (), left, fading, tuple(records))
        model = apply_transforms(model, records)
        return PruneResult(model, tuple(records), shrunk_layers(before, model), left)
    sparsity = Sparsity.of(kind, ratio, scope)
    layers, left = choose_layers(model, sparsity.pattern, skipped)
    transforms = records_of(layers, sparsity.pattern)
    hook: StepHook | None = None
    if schedule == "once":
        scores = score_weights(model, importance, losses)
        set_zeros(model, masks_of({n: scores[f"{n}.weight" if n else "weight"] for n in layers}, sparsity))
    elif schedule == "gradual":
        hook = GradualPruning(layers, sparsity, over)
    else:
        hook = BlendedWeights(layers, sparsity, over)
    model = apply_transforms(model, transforms)
    return PruneResult(model, tuple(transforms), sparse_layers(model, transforms), left, hook)


def _check_settings(
    ratio: float | None,
    kind: str,
    scope: Scope | None,
    importance: Importance,
    round_to: int,
    schedule: Schedule,
    over: float,
) -> None:
    if kind in ("channel", "unstructured"):
        if ratio is None or not 0 < ratio < 1:
            raise UsageError(
                f"the ratio of weights to prune is {ratio}; it lies between 0 and 1, without them"
            )
    else:
        read_pattern(kind)
        if ratio is not None or scope is not None:
            raise UsageError(f"{kind} says how much is pruned, in each row; leave ratio and scope out")
    if importance not in get_args(Importance):
        raise UsageError(f"there is no importance '{importance}'; take {_listed(get_args(Importance))}")
    if schedule not in get_args(Schedule):
        raise UsageError(f"there is no schedule '{schedule}'; take {_listed(get_args(Schedule))}")
    if kind == "channel" and schedule == "gradual":
        raise UsageError("channels are cut all together; take the schedule 'blend' or 'once'")
    if kind != "channel" and schedule != "once" and importance == "taylor":
        raise UsageError(
            f"with the schedule '{schedule}' weights are chosen by their magnitudes, at every step; leave "
            "'taylor' out, or prune them once"
        )
    if round_to < 1 or (round_to > 1 and kind != "channel"):
        raise UsageError(
            f"channels are rounded to a multiple of 1 and more, not {round_to}, and nothing else is"
        )
    if not 0 < over <= 1:
        raise UsageError(f"a schedule takes a share of the steps, more than 0 and at most 1, not {over:g}")


def _check_whole(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if is_sparse(module):
            raise UsageError(
                f"{name} was pruned already; prune channels first, and single weights after that"
            )


def _skipped(model: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Names of the layers that patterns fit.

    Raises:
        UsageError: a pattern fits none.
    """
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    found = [name for pattern in patterns for name in matching(pattern, names, of_layers=True, origin=_SKIP)]
    return [layer_of(name) for name in found]


def _listed(names: Sequence[str]) -> str:
    return " or ".join(f"'{name}'" for name in names)
