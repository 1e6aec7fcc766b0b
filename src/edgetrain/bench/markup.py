"""HTML and SVG as Python values: everything that is put in as text is escaped."""

from __future__ import annotations

from html import escape

# Elements without content; all others are closed, also where they are empty.
_VOID = ("meta", "line", "polyline", "circle", "rect")


class Markup(str):
    """Text that is HTML already."""


def element(name: str, /, *children: str | None, **attributes: str | float | None) -> Markup:
    """An element. Children that are no `Markup` are text; None is left out, of attributes too.

    Args:
        attributes: `class_` is `class`, and an underscore elsewhere a hyphen.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{given}>" if name == "meta" else f"<{name}{given}/>")
    inner = "".join(c if isinstance(c, Markup) else escape(c) for c in children if c is not None)
    return Markup(f"<{name}{given}>{inner}</{name}>")


def joined(parts: list[Markup]) -> Markup:
    """Elements one after the other."""
    return Markup("\n".join(parts))


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"
