"""The picture of a run, drawn when the run ends or is interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import EdgetrainError, InterruptedRun
from .command import Invocation


def picture_of(history: Path, form: str) -> Path | None:
    """Where the picture goes; None where none is wanted.

    Args:
        form: `none`, `png` or `svg`.
    """
    if form == "none":
        return None
    from ..engine.curves import picture_path

    return picture_path(history, form)


@contextmanager
def run_drawn(run: Invocation, history: Path, picture: Path | None, title: str) -> Iterator[None]:
    """Draws the history of the run in the block. That it can't be drawn is no reason for the run to fail."""
    try:
        yield
    except InterruptedRun:
        _draw(run, history, picture, title)
        raise
    _draw(run, history, picture, title)


def _draw(run: Invocation, history: Path, picture: Path | None, title: str) -> None:
    # Nothing was saved yet, or another process of the run has it.
    if picture is None or run.output.mute or not history.is_file():
        return
    from ..artifacts.history import load_history
    from ..engine.curves import draw_history

    try:
        found = load_history(history)
        if found.epochs:
            draw_history(found, picture, title)
    except (ImportError, EdgetrainError, ValueError) as error:
        run.reporter.warn(f"there is no picture of the run: {error}")
