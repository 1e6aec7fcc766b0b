"""Channel pruning: which channels go, and the records of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ...artifacts.transforms import KeptChannels, Transform
from ...errors import UsageError
from ...models.calling import call_model
from ...models.transforms import apply_transforms
from ...upstream.values import leaves
from .dependencies import ChannelGroup, Dependencies
from .importance import Importance, Scores
from .kept import fill_with_places, read_records
from .report import listed

# Of a group's channels, the share that globally ranked pruning leaves at least: a layer that is cut down to
# a channel or two blocks all that comes after it.
_LEAST_LEFT = 0.1


def prune_channels(
    model: nn.Module,
    inputs: Mapping[str, Tensor],
    ratio: float,
    *,
    ranked_globally: bool,
    scores: Scores,
    importance: Importance,
    skipped: Sequence[str],
    round_to: int,
) -> tuple[list[Transform], dict[str, str]]:
    """Chooses channels of a model, which stays as it is.

    Args:
        inputs: of an example batch, by name.
        ratio: share of its channels that each group loses; ranked globally, of the channels of all.
        round_to: the channels that are left are a multiple of it, where that takes fewer than asked for.
    Returns:
        the records of what to cut, and the layers that keep their channels, with the reason.
    Raises:
        UsageError: nothing can be pruned, or the model doesn't run without the channels.
    """
    dependencies = Dependencies(model, inputs)
    groups = dependencies.groups(scores, importance, skipped)
    counts = _globally(groups, ratio) if ranked_globally else [round(ratio * len(g.scores)) for g in groups]
    cut = {
        group.layer: group.in_all_blocks(group.scores.argsort()[:count].tolist())
        for group, asked in zip(groups, counts, strict=True)
        if (count := _rounded(group, asked, round_to)) > 0
    }
    if not groups:
        raise UsageError(f"the model has no channels to prune ({listed(dependencies.left)})")
    if not cut:
        raise UsageError(f"no layer has so many channels that it loses one of them at a ratio of {ratio:g}")
    fill_with_places(dependencies.model)
    for layer, channels in cut.items():
        dependencies.prune(layer, channels)
    records = read_records(model, dependencies.model)
    _check(model, inputs, records, cut)
    return records, dependencies.left


def _globally(groups: Sequence[ChannelGroup], ratio: float) -> list[int]:
    """How many channels of a block each group loses if the least important of all go."""
    ranked = sorted((score, index) for index, group in enumerate(groups) for score in group.scores.tolist())
    wanted = round(ratio * sum(group.channels for group in groups))
    counts = [0] * len(groups)
    for _, index in ranked:
        size = len(groups[index].scores)
        if wanted <= 0:
            break
        if counts[index] < size - max(1, round(_LEAST_LEFT * size)):
            counts[index] += 1
            wanted -= groups[index].blocks
    return counts


def _rounded(group: ChannelGroup, count: int, round_to: int) -> int:
    """How many of a block's channels go so that a multiple is left; not all, and no more than asked for."""
    size = len(group.scores)
    left = max(1, size - count)
    while left < size and left * group.blocks % round_to:
        left += 1
    return size - left


def _check(
    model: nn.Module,
    inputs: Mapping[str, Tensor],
    records: Sequence[Transform],
    cut: Mapping[str, list[int]],
) -> None:
    """Runs the model without its channels: code with lengths of its own fails then."""
    expected = _shapes(model, inputs)
    pruned = apply_transforms(copy.deepcopy(model), records)
    try:
        found = _shapes(pruned, inputs)
    except Exception as error:  # the model is anybody's code
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f"the model fails without some channels of {', '.join(cut)}: {reason}; skip the layers whose "
            "lengths it has in its code"
        ) from error
    if found != expected:
        raise UsageError(
            f"the model's outputs would become {found} instead of {expected}; skip the layers they come from"
        )


@torch.no_grad()
def _shapes(model: nn.Module, inputs: Mapping[str, Tensor]) -> list[list[int]]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    outputs = call_model(model, inputs)
    for module, training in modes.items():
        module.training = training
    return [list(leaf.shape) for leaf in leaves(outputs) if isinstance(leaf, Tensor)]


def removed_rows(model: nn.Module, records: Sequence[Transform]) -> dict[str, tuple[int, list[int]]]:
    """Of the parameters that make the channels which records cut: along which dimension, and which go.

    Rows of weights, biases, scales and shifts of norms; columns that read the channels are no part of them.
    """
    found = {}
    for record in records:
        if not isinstance(record, KeptChannels):
            continue
        layer, _, name = record.tensor.rpartition(".")
        module = model.get_submodule(layer)
        tensor = getattr(module, name)
        dim = 1 if getattr(module, "transposed", False) and tensor.dim() > 1 else 0
        if isinstance(tensor, nn.Parameter) and dim in record.kept:
            kept = set(record.kept[dim])
            found[record.tensor] = dim, [i for i in range(tensor.shape[dim]) if i not in kept]
    return found
