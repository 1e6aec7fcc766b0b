"""What is said while a run goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..artifacts.contract import Metric
from ..artifacts.history import EpochRecord, Part


def describe(record: EpochRecord, metrics: Sequence[Metric], epochs: int, is_best: bool) -> str:
    """One line about a finished epoch, as in `epoch 2/5: loss 0.3102, accuracy 91.25%, validation loss
    0.3411, accuracy 90.10%, 1.2 s, best so far`."""
    parts = [*_texts(record, "train", metrics), *_texts(record, "val", metrics)]
    parts.append(f"{record.train_time_s:.1f} s")
    return f"epoch {record.epoch}/{epochs}: {', '.join(parts)}{', best so far' if is_best else ''}"


def _texts(record: EpochRecord, part: Part, metrics: Sequence[Metric]) -> Iterator[str]:
    before = "validation " if part == "val" else ""
    for metric in metrics:
        value = record.figure(part, metric.name)
        if value is not None:
            number = f"{value:.2%}" if metric.is_share else f"{value:.4f}"
            yield f"{before}{metric.name.replace('_', ' ')} {number}"
            before = ""
