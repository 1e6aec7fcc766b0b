"""Where an export is on its way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from edgetrain.export.stations import EXPORT, shown
from edgetrain.reporting import Piece, Progress, Reporter


class Listener(Reporter, Progress):
    """Keeps what a bar is told."""

    def __init__(self) -> None:
        self.plan: list[Piece] = []
        self.at = 0
        self.told: list[str] = []

    @contextmanager
    def progress(self, description: str, total: int | Sequence[Piece] | None = None) -> Iterator[Progress]:
        assert total is not None
        assert not isinstance(total, int)
        self.plan = list(total)
        yield self

    def advance(self, steps: int = 1, **fields: float | str) -> None:
        self.at += steps
        self.told.append(str(fields["now"]))


def test_a_bar_follows_the_stations() -> None:
    heard, others = Listener(), list[str]()
    with shown(heard, "exporting", EXPORT, others.append) as reached:
        # The second plan of two, for less memory, goes back.
        stations = [
            "prepared",
            "captured",
            "joint",
            "edge",
            "lowered",
            "captured",
            "joint",
            "edge",
            "lowered",
        ]
        for station in [*stations, "written", "verified"]:
            reached(station)
    assert others == [*stations, "written", "verified"]
    assert heard.at == len(heard.plan) == 6
    assert heard.told[0] == "capturing"
    assert heard.told[-1] == "verifying"
    assert all(piece.weight > 0 for piece in heard.plan)
