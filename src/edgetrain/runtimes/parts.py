"""Batches in parts, where one is larger than a program takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ..artifacts.contract import Contract
from .base import Outcome, Session, Tensors

Batches = Sequence[tuple[Tensors, Tensors]]


def parts_of(contract: Contract, inputs: Tensors, targets: Tensors) -> Iterator[tuple[Tensors, Tensors]]:
    """A batch in parts of as many samples as the program takes, in order; whole where it doesn't split
    batches."""
    count = len(next(iter(inputs.values())))
    size = contract.max_batch_size if contract.splits_batches else count
    for start in range(0, count, max(size, 1)):
        yield _cut(inputs, start, size), _cut(targets, start, size)


def joined(contract: Contract, outcomes: Sequence[Outcome]) -> Outcome:
    """What the parts of a batch say together; their losses are weighted by what they are means over."""
    if len(outcomes) == 1:
        return outcomes[0]
    counts = [counted(contract, outcome) for outcome in outcomes]
    loss = sum(outcome.loss * count for outcome, count in zip(outcomes, counts, strict=True))
    first = outcomes[0]
    return Outcome(
        loss / sum(counts) if sum(counts) else first.loss,
        {name: torch.cat([outcome.predictions[name] for outcome in outcomes]) for name in first.predictions},
        {name: torch.stack([outcome.sums[name] for outcome in outcomes]).sum(0) for name in first.sums},
    )


def counted(contract: Contract, outcome: Outcome) -> float:
    """What a batch's loss is a mean over, such as samples, or labels that aren't ignored."""
    return outcome.sums[contract.metrics[0].bottom].item()


def run_in_parts(
    contract: Contract, batches: Batches, run: Callable[[Tensors, Tensors], Outcome]
) -> tuple[list[Outcome], float]:
    """Runs all parts of batches, in order.

    Returns:
        what each batch gave, and what their losses are means over, added up.
    """
    outcomes, total = [], 0.0
    for batch in batches:
        parts = [run(*part) for part in parts_of(contract, *batch)]
        outcomes.append(joined(contract, parts))
        total += sum(counted(contract, outcome) for outcome in parts)
    return outcomes, total


def evaluate_in_parts(session: Session, inputs: Tensors, targets: Tensors) -> Outcome:
    """`evaluate` of a batch that may be larger than the program takes."""
    ((outcome,), _) = run_in_parts(session.contract, [(inputs, targets)], session.evaluate)
    return outcome


def predict_in_parts(session: Session, inputs: Tensors) -> dict[str, Tensor]:
    """`predict` of a batch that may be larger than the program takes."""
    found = [session.predict(part) for part, _ in parts_of(session.contract, inputs, {})]
    return {name: torch.cat([outputs[name] for outputs in found]) for name in found[0]}


def _cut(tensors: Tensors, start: int, size: int) -> Tensors:
    return {name: tensor[start : start + size] for name, tensor in tensors.items()}
