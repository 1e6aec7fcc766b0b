"""What is said while a run goes on."""

from __future__ import annotations

from collections.abc import Sequence

from ..artifacts.contract import Metric
from ..artifacts.history import EpochRecord


def describe_epoch(record: EpochRecord, metrics: Sequence[Metric], epochs: int) -> str:
    """One line about a finished epoch, as in `epoch 2/5: loss 0.3102, accuracy 91.25%, 1.2 s`."""
    parts = [f"loss {record.train_loss:.4f}"]
    for metric in metrics:
        value = record.figure("val", metric.name)
        if value is not None:
            name = "validation loss" if metric.name == "loss" else metric.name.replace("_", " ")
            parts.append(f"{name} {value:.2%}" if metric.is_share else f"{name} {value:.4f}")
    parts.append(f"{record.train_time_s:.1f} s")
    return f"epoch {record.epoch}/{epochs}: {', '.join(parts)}"
