"""The best epoch of a run, and when no better one is waited for."""

from __future__ import annotations

from collections.abc import Sequence

from ..artifacts.contract import Metric
from ..artifacts.history import EpochRecord
from .metrics import score


def is_best(
    record: EpochRecord,
    known: EpochRecord | None,
    metrics: Sequence[Metric],
    by: str,
    *,
    whole: bool,
) -> bool:
    """Whether an epoch is better than the one that is best so far, by a metric or else by the loss.

    Args:
        known: that one; None before the first.
        by: the metric's name.
        whole: False: `record` is of a part of an epoch, which is no match for a whole one: a run that is
            resumed goes on as if it never was.
    """
    if record.val_loss is None:
        return False
    names = [by, metrics[0].name]

    def value(of: EpochRecord) -> list[float]:
        return score(of.figures("val"), metrics, names)

    return known is None or (whole and value(record) > value(known))


def out_of_patience(records: Sequence[EpochRecord], best: int | None, patience: int | None) -> bool:
    """Whether as many epochs as one has patience for were validated after the best one.

    Args:
        records: of the run so far; those without a validation loss were not validated.
        best: the best epoch's number; None before there is one.
        patience: None: no end to it.
    """
    if best is None or patience is None:
        return False
    return sum(record.epoch > best and record.val_loss is not None for record in records) >= patience
