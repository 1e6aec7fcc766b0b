"""Where an export is on its way, and how long what is left of it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from ..reporting import Piece, Reporter

# Told of every station that is reached.
Done = Callable[[str], None]
# By station: what is under way before it, and about how long that takes. The ratios are those of mobilenet_v2
# and digits_cnn.
Stations = Mapping[str, tuple[str, float]]

UNVERIFIED: Stations = {
    # "prepared" comes too soon to tell anything of the rest.
    "captured": ("capturing", 1.6),
    "joint": ("planning backward", 2.0),
    "edge": ("planning operators", 2.5),
    "lowered": ("planning memory", 2.0),
    "written": ("writing", 0.1),
}
EXPORT: Stations = {**UNVERIFIED, "verified": ("verifying", 1.6)}


def ignore(station: str) -> None:
    """Who doesn't care."""


@contextmanager
def shown(reporter: Reporter, title: str, stations: Stations, done: Done = ignore) -> Iterator[Done]:
    """A bar that moves on with the stations, and what is to be told of them.

    Args:
        done: is told as well.
    """
    names = list(stations)
    plan = [Piece(name, seconds) for name, (_, seconds) in stations.items()]
    with reporter.progress(title, plan) as progress:
        at = 0
        progress.advance(0, now=stations[names[0]][0])

        def reached(station: str) -> None:
            nonlocal at
            done(station)
            # Where a plan took too much memory, the stations up to it are gone through again.
            further = max(0, names.index(station) + 1 - at) if station in names else 0
            at += further
            progress.advance(further, now=stations[names[min(at, len(names) - 1)]][0])

        yield reached
