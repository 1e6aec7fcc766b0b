"""Pruning of single weights: which become zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ...artifacts.transforms import KeptZeros
from ...errors import UsageError
from ...models.transforms.zeros import PRUNABLE, is_sparse
from .report import listed

Scope = Literal["global", "layer"]
Masks = dict[str, Tensor]


@dataclass(frozen=True)
class Sparsity:
    """How many weights are zero.

    Attributes:
        ratio: the share of them.
        pattern: `unstructured`, or N:M.
        scope: of `unstructured`: whether the share is of all layers' weights together, or of each layer's.
    """

    ratio: float
    pattern: str = "unstructured"
    scope: Scope = "global"

    @classmethod
    def of(cls, pattern: str, ratio: float | None, scope: Scope | None) -> Sparsity:
        """That of a kind of pruning; N:M says the ratio itself."""
        if ratio is not None:
            return cls(ratio, pattern, scope or "global")
        zeros, group = read_pattern(pattern)
        return cls(zeros / group, pattern, "layer")


def read_pattern(pattern: str) -> tuple[int, int]:
    """N and M of N:M: N zeros in each M weights.

    Raises:
        UsageError: it leaves nothing, or isn't written so.
    """
    zeros, _, group = pattern.partition(":")
    if not (zeros.isdecimal() and group.isdecimal() and 0 < int(zeros) < int(group)):
        raise UsageError(f"'{pattern}' is no N:M with N zeros in each M weights; N is less than M, as in 2:4")
    return int(zeros), int(group)


def choose_layers(model: nn.Module, pattern: str, skipped: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The layers whose weights are pruned, and those that are left whole, with the reason.

    Raises:
        UsageError: there are none, or one was pruned before.
    """
    chosen, left = [], {}
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if not isinstance(weight, nn.Parameter) or weight.dim() < 2:
            continue
        if why := _why_left(model, name, module, pattern, skipped):
            left[name] = why
        elif is_sparse(module):
            raise UsageError(
                f"{name} was pruned already; prune the model as it was before, or skip the layer"
            )
        else:
            chosen.append(name)
    if not chosen:
        raise UsageError(f"the model has no weights to prune ({listed(left)})")
    return chosen, left


def _why_left(
    model: nn.Module, name: str, module: nn.Module, pattern: str, skipped: Sequence[str]
) -> str | None:
    if name in skipped:
        return "skipped"
    weight = module.weight
    assert isinstance(weight, Tensor)
    if type(module) not in PRUNABLE and not is_sparse(module):
        return f"{type(module).__name__} can't keep zeros"
    sharing = [n for n, p in model.named_parameters(remove_duplicate=False) if p is weight]
    if len(sharing) > 1:
        return f"its weight is shared ({', '.join(sharing)})"
    if pattern != "unstructured" and weight[0].numel() < read_pattern(pattern)[1]:
        return f"its rows have {weight[0].numel()} weights, fewer than a group of {pattern}"
    return None


def records_of(layers: Sequence[str], pattern: str) -> list[KeptZeros]:
    return [KeptZeros(module=layer, pattern=pattern) for layer in layers]


def masks_of(scores: Mapping[str, Tensor], sparsity: Sparsity, progress: float = 1.0) -> Masks:
    """The weights that are pruned, by layer: as many as asked for, the least important.

    Args:
        scores: importance of each layer's weight, in its shape.
        progress: the part of the pruning that is to be done.
    """
    if sparsity.pattern != "unstructured":
        zeros, group = read_pattern(sparsity.pattern)
        return {
            name: _least_of_groups(score, int(progress * zeros + 1e-9), group)
            for name, score in scores.items()
        }
    ratio = progress * sparsity.ratio
    if sparsity.scope == "layer":
        return {name: _least(score, ratio) for name, score in scores.items()}
    together = _least(torch.cat([score.flatten() for score in scores.values()]), ratio)
    parts = together.split([score.numel() for score in scores.values()])
    return {
        name: part.reshape(score.shape) for (name, score), part in zip(scores.items(), parts, strict=True)
    }


def _least(scores: Tensor, ratio: float) -> Tensor:
    """Where the least important share of some weights is."""
    mask = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    mask[scores.flatten().topk(round(ratio * scores.numel()), largest=False, sorted=False).indices] = True
    return mask.reshape(scores.shape)


def _least_of_groups(scores: Tensor, zeros: int, group: int) -> Tensor:
    """Where, of each `group` weights in a row of the layer's inputs, the `zeros` least important are. What is
    left over at a row's end has its share of them, rounded down."""
    rows = scores.flatten(1)
    whole = rows.shape[1] // group * group
    mask = torch.zeros_like(rows, dtype=torch.bool)
    groups = rows[:, :whole].reshape(-1, group)
    mask[:, :whole] = _least_of_rows(groups, zeros).reshape(len(rows), whole)
    mask[:, whole:] = _least_of_rows(rows[:, whole:], (rows.shape[1] - whole) * zeros // group)
    return mask.reshape(scores.shape)


def _least_of_rows(rows: Tensor, count: int) -> Tensor:
    """Where the `count` least of each row are."""
    mask = torch.zeros_like(rows, dtype=torch.bool)
    if not count:
        return mask
    return mask.scatter_(1, rows.topk(count, dim=1, largest=False, sorted=False).indices, True)


@torch.no_grad()
def set_zeros(model: nn.Module, masks: Masks, kept: float = 0.0) -> None:
    """Multiplies the pruned weights by `kept`: by 0, they are gone."""
    for layer, mask in masks.items():
        weight = weight_of(model, layer)
        if kept == 0:
            weight.masked_fill_(mask, 0)
        else:
            weight.mul_(torch.where(mask, kept, 1.0))


def weight_of(model: nn.Module, layer: str) -> Tensor:
    weight = model.get_submodule(layer).weight
    assert isinstance(weight, Tensor)
    return weight.detach()
