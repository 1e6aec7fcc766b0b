"""Values as text for people."""

from __future__ import annotations

import re
from pathlib import Path, PurePath


def printable(text: str) -> str:
    """Text from files and errors without control characters, which could rewrite the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def wrapped(text: str, width: int | None) -> str:
    """Text in lines that end between words, a number together with its unit; what is continued is indented
    further than the line began. A word longer than a line, as a path, stays whole: a terminal wraps it, and
    it can be copied.

    Args:
        width: None leaves the lines as they are.
    """
    import textwrap

    if width is None:
        return text
    lines = []
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip())]
        # textwrap breaks at no such space.
        bound = re.sub(r"(?<=\d) (?=[^\W\d]|%)", "\N{NO-BREAK SPACE}", line.strip())
        broken = textwrap.wrap(
            bound,
            width,
            initial_indent=indent,
            subsequent_indent=indent + "  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines += [part.replace("\N{NO-BREAK SPACE}", " ") for part in broken] or [""]
    return "\n".join(lines)


def size_text(count: int) -> str:
    """A number of bytes for people."""
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def number_text(value: float | None, digits: int = 4) -> str:
    """A measured number for people; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}g}"


def percent_text(share: float | None) -> str:
    """A share of 1 as per cent; a dash where there is none."""
    return "–" if share is None else f"{100 * share:.2f} %"


def figure_text(value: float | None, *, is_share: bool) -> str:
    """A metric for people."""
    return percent_text(value) if is_share else number_text(value)


def file_text(path: PurePath | None) -> str:
    """A file's path, with its size where it exists."""
    if path is None:
        return "–"
    try:
        return f"{path}  ({size_text(Path(path).stat().st_size)})"
    except OSError:
        return str(path)


def with_article(noun: str) -> str:
    """As in "a history", "an optimization report"."""
    return f"{'an' if noun[0] in 'aeio' else 'a'} {noun}"
