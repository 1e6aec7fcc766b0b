"""Pictures of figures, as PNG or SVG."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .atomic import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What pictures may be called.
SUFFIXES = (".png", ".svg")
_STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    "svg.hashsalt": "edgetrain",  # the same figure is the same file
}


@contextmanager
def drawn(path: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure to draw into, which is then written to `path` atomically, in the format that its suffix names.

    Args:
        width, height: [inches], of 130 pixels.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
        yield figure
        buffer = io.BytesIO()
        form = path.suffix.removeprefix(".")
        figure.savefig(buffer, format=form, metadata={"Date": None} if form == "svg" else None)
    write_bytes(path, buffer.getvalue())
