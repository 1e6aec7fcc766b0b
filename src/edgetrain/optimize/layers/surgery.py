"""Surgery: layers and calls of a model replaced by others that devices like better."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...artifacts.transforms import Transform
from ...errors import CheckFailedError, UsageError
from ...models.calling import call_model
from .changes import Changes, Replacement
from .observed import Observed, tensors
from .own_rules import chosen_rules
from .rules import Rule

# How much rules that keep the function may change outputs: more than rounding is a mistake.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class SurgeryResult:
    """A changed model, and what was done to it.

    Attributes:
        model: the changed model; a new object where its own forward was changed.
        transforms: the records that do the same to the model as its code builds it.
        replaced: each replacement.
        notes: what could not be looked at or stays, and why.
        difference: how much the rules that keep the function changed outputs in evaluation, relative to the
            largest one; None where there were no such rules, or no inputs.
    """

    model: nn.Module
    transforms: tuple[Transform, ...]
    replaced: tuple[Replacement, ...]
    notes: tuple[str, ...]
    difference: float | None

    def counts(self) -> dict[tuple[str, str, str], int]:
        """How often what was replaced by what: (rule, old, new) → times, in the order of the rules."""
        return dict(Counter((r.rule, r.old, r.new) for r in self.replaced))


def surgery(
    model: nn.Module,
    rules: Any = "lite",
    *,
    inputs: Tensor | Sequence[Tensor] | Mapping[str, Tensor] | None = None,
) -> SurgeryResult:
    """Replaces layers of a model, and calls of functions and methods in the forward of its modules.

    Shapes, dtypes, devices and modes stay, and weights where the new layer has such.

    Args:
        model: changed in place, though the result may be another object. After an error it is in between;
            work on a copy (`copy.deepcopy`) where that matters.
        rules: presets (`lite`, `no-retrain`, `trainable`), names of rules, rules of one's own, a YAML file,
            or a list of these. Rules that have names are followed in the order of `RULES`, one's own before
            or after them, as in the list. A rule of one's own is {"match": ..., "replace": ...}: a layer's
            type or a function, and a layer's type (with "args") or a function (old layer) → new layer or
            None.
        inputs: a batch that the model takes, [B, ...] each. Without it some rules don't know enough and leave
            things as they are, and nothing is compared.
    Raises:
        UsageError: a rule is unknown, a rule of one's own matches nothing, a new layer can't be kept as a
            record, or the model fails on the inputs.
        CheckFailedError: the changed model fails, or a rule that should keep the function doesn't.
    """
    wanted = chosen_rules(rules)
    changes, named = Changes(model), _named(inputs)
    try:
        observed = None if named is None else Observed(model, named)
    except Exception as error:  # the model is anybody's code
        raise UsageError(f"the model fails on the inputs for surgery: {_first_line(error)}") from error
    difference: float | None = None
    for rule in wanted:
        if not _follow(rule, changes, observed) or named is None or observed is None:
            continue
        before, observed = observed, _observed_after(rule, changes.model, named)
        if rule.keeps_function:
            difference = max(difference or 0.0, _checked_difference(rule, before, observed))
    if named is not None and changes.transforms:
        _check_gradients(changes.model, named)
    notes = (*changes.notes, *changes.untraced_notes())
    return SurgeryResult(changes.model, tuple(changes.transforms), tuple(changes.replaced), notes, difference)


def _follow(rule: Rule, changes: Changes, observed: Observed | None) -> bool:
    """Whether the rule found something to do."""
    changes.begin(rule.name, observed)
    done = len(changes.transforms)
    rule.apply(changes)
    if len(changes.transforms) == done and rule.must_match:
        raise UsageError(f"the surgery rule '{rule.name}' matches nothing in the model")
    return len(changes.transforms) > done


def _observed_after(rule: Rule, model: nn.Module, inputs: Mapping[str, Tensor]) -> Observed:
    try:
        return Observed(model, inputs)
    except Exception as error:
        raise CheckFailedError(
            f"the model fails after the surgery rule '{rule.name}': {_first_line(error)}; leave the rule out"
        ) from error


def _checked_difference(rule: Rule, before: Observed, after: Observed) -> float:
    difference = largest_difference(before.outputs, after.outputs)
    if not difference <= TOLERANCE:
        raise CheckFailedError(
            f"the surgery rule '{rule.name}' should keep what the model computes, but changes it by "
            f"{difference:.1e}; leave the rule out"
        )
    return difference


def _check_gradients(model: nn.Module, inputs: Mapping[str, Tensor]) -> None:
    """Refuses what can be run, but not trained: a layer that works in place on what the one before it needs
    for its gradient."""
    try:
        copied = copy.deepcopy(model).train()
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            outputs = tensors(call_model(copied, {k: v.clone() for k, v in inputs.items()}))
            sum(t.sum() for t in outputs if t.requires_grad).backward()  # type: ignore[union-attr]
    except Exception as error:  # other reasons are not surgery's
        if "modified by an inplace operation" in str(error):
            raise CheckFailedError(
                "the model can't be trained after surgery: something works in place on what a new layer "
                "returned, and needs for its gradient; leave out 'activations', or change that in the model"
            ) from error


def largest_difference(before: Sequence[Tensor], after: Sequence[Tensor]) -> float:
    """The largest difference between outputs, relative to the largest value of each; infinite where their
    shapes differ."""
    if [t.shape for t in before] != [t.shape for t in after]:
        return float("inf")
    worst = 0.0
    for old, new in zip(before, after, strict=True):
        if old.numel():
            scale = old.double().abs().max().clamp_min(torch.finfo(torch.float32).tiny)
            worst = max(worst, float((old.double() - new.double()).abs().max() / scale))
    return worst


def _named(inputs: Tensor | Sequence[Tensor] | Mapping[str, Tensor] | None) -> dict[str, Tensor] | None:
    if inputs is None:
        return None
    if isinstance(inputs, Tensor):
        return {"inputs": inputs}
    if isinstance(inputs, Mapping):
        return dict(inputs)
    return {f"inputs{i}": tensor for i, tensor in enumerate(inputs)}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
