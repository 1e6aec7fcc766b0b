"""Where a run stands, as plain data that a checkpoint can hold."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ..artifacts.history import EpochRecord
from ..engine.metrics import Meter


@dataclass
class RunState:
    """Position and results of a run.

    Attributes:
        epoch: finished epochs.
        batch: batches done of the epoch under way.
        step: optimizer steps since the start.
        meter: training metrics of the epoch under way.
        train_time: seconds spent on the epoch under way.
        best: the best epoch so far; None before the first.
        best_weights: hash of that epoch's weights, by which their file is known.
        records: validated epochs.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    meter: Meter = field(default_factory=Meter)
    train_time: float = 0.0
    best: EpochRecord | None = None
    best_weights: str = ""
    records: list[EpochRecord] = field(default_factory=list)

    def to_plain(self) -> dict[str, Any]:
        """As numbers, strings, lists and dictionaries."""
        plain = {key: value for key, value in vars(self).items() if key not in ("meter", "best", "records")}
        return {
            **plain,
            "meter": asdict(self.meter),
            "best": None if self.best is None else self.best.model_dump(),
            "records": [record.model_dump() for record in self.records],
        }

    @staticmethod
    def from_plain(plain: dict[str, Any]) -> RunState:
        """Reads what `to_plain` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        values = dict(plain)
        meter = Meter(**values.pop("meter"))
        best = values.pop("best")
        records = [EpochRecord.model_validate(record) for record in values.pop("records")]
        return RunState(
            **values,
            meter=meter,
            best=None if best is None else EpochRecord.model_validate(best),
            records=records,
        )

    def finish_epoch(self) -> None:
        """Moves on to the next epoch."""
        self.epoch, self.batch = self.epoch + 1, 0
        self.meter, self.train_time = Meter(), 0.0

    def drop_unfinished_record(self) -> None:
        """Forgets the record of an epoch that `max_steps` cut short and that is now continued. Its
        weights were the best only as long as no epoch was whole."""
        self.records = [record for record in self.records if record.epoch <= self.epoch]
        if self.best is not None and self.best.epoch > self.epoch:
            self.best = None
