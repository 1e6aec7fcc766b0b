"""What is said while a run goes on."""

from __future__ import annotations

from ..artifacts.history import EpochRecord


def describe_epoch(record: EpochRecord, epochs: int) -> str:
    """One line about a finished epoch, as in `epoch 2/5: loss 0.3102, accuracy 91.25%, 1.2 s`."""
    parts = [f"loss {record.train_loss:.4f}"]
    if record.val_loss is not None:
        parts.append(f"validation loss {record.val_loss:.4f}")
    if record.val_accuracy is not None:
        parts.append(f"accuracy {record.val_accuracy:.2%}")
    parts.append(f"{record.train_time_s:.1f} s")
    return f"epoch {record.epoch}/{epochs}: {', '.join(parts)}"
