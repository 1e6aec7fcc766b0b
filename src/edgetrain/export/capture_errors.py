"""What torch.export says where it can't capture a model, in one sentence."""

from __future__ import annotations

import re
from pathlib import Path

import torch

_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in [^\n]*\n +(?P<code>[^\n]+)')
_BRANCHES = "data-dependent branching"
_OURS = Path(__file__).parents[1]
_TORCH = Path(torch.__file__).parent


def reason_of(error: Exception) -> str:
    """The first line of an error, and the line of the model's code that it is about where that is told."""
    text = str(error).strip()
    first = (text.splitlines() or [type(error).__name__])[0]
    if "specialized" in text and "Constraints violated" in first:
        first = "the batch becomes a constant"
    place = _place(text)
    way_out = "; have it compute both ways, and torch.where choose" if _BRANCHES in first.lower() else ""
    return (f"{first} at {place}" if place else first) + way_out


def _place(text: str) -> str:
    """The innermost line of code that is the user's."""
    for frame in reversed(list(_FRAME.finditer(text))):
        path = Path(frame["file"])
        if not path.is_relative_to(_OURS) and not path.is_relative_to(_TORCH):
            return f"'{frame['code'].strip()}' ({path.name}, line {frame['line']})"
    return ""
