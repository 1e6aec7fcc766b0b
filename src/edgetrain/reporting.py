"""How stages tell what they are doing, without knowing who listens.

Stages take a `Reporter`; the command line passes one that draws on stderr, tests and library users may
leave it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Piece:
    """A piece of work that others of its run don't equal in time.

    Attributes:
        kind: parts of a kind take time in proportion to their weights.
        weight: how long it takes, compared with all others as well as one knows beforehand.
    """

    kind: str
    weight: float = 1.0


class Progress:
    """One running progress bar. The base class draws nothing."""

    def advance(self, steps: int = 1, **fields: float | str) -> None:
        """Moves the bar on; `fields` are shown behind it, as in `loss=0.31`."""


class Reporter:
    """Receives messages and progress. The base class is silent."""

    def info(self, message: str) -> None:
        """What a user wants to see while a command runs."""

    def epoch(self, message: str) -> None:
        """One line about a finished epoch, which a log gets as well as a user who watches."""

    def detail(self, message: str) -> None:
        """What only `-v` shows."""

    def warn(self, message: str) -> None:
        """Something the user should know although the run goes on."""

    @contextmanager
    def progress(self, description: str, total: int | Sequence[Piece] | None = None) -> Iterator[Progress]:
        """A progress bar for as long as the context lasts, with the time that is left. A bar in another one
        tells how far the step is that the other is at.

        Args:
            total: the number of steps, or the parts of the work where they take unlike times.
        """
        yield Progress()


SILENT = Reporter()


def megabytes(count: int) -> str:
    """A number of bytes in the unit budgets are given in."""
    return f"{count / 1e6:.3f} MB" if count < 10**8 else f"{count / 1e6:.1f} MB"
