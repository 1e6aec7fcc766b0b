"""The small language of `data.shift`: `rotate:90`, `invert`, `noise:0.2`, `blur:1.0`, `classes:0,3,5`."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

_NUMBER_DEFAULTS = {"rotate": 90.0, "noise": 0.1, "blur": 1.0}
KINDS = (*_NUMBER_DEFAULTS, "invert", "classes")
# How one begins to write them.
FORMS = (*(f"{kind}:{amount:g}" for kind, amount in _NUMBER_DEFAULTS.items()), "invert", "classes:")


@dataclass(frozen=True)
class Shift:
    """One parsed shift. `amount` is degrees (rotate), or a standard deviation in the 0..1 scale of the
    inputs (noise) or in pixels (blur); `classes` holds names or indices as written."""

    kind: str
    amount: float = 0.0
    classes: tuple[str, ...] = ()


def parse_shift(text: str) -> Shift:
    """Reads one shift.

    Raises:
        ValueError: it is not one of the known forms.
    """
    kind, _, argument = text.strip().partition(":")
    if kind in _NUMBER_DEFAULTS:
        try:
            amount = float(argument) if argument else _NUMBER_DEFAULTS[kind]
        except ValueError:
            raise ValueError(
                f"'{text}': {kind} takes a number, as in {kind}:{_NUMBER_DEFAULTS[kind]:g}"
            ) from None
        if kind != "rotate" and not 0 <= amount < float("inf"):
            raise ValueError(f"'{text}': {kind} must not be negative")
        if amount != amount or abs(amount) == float("inf"):
            raise ValueError(f"'{text}': {kind} takes a finite number")
        return Shift(kind, amount)
    if kind == "invert":
        if argument:
            raise ValueError(f"'{text}': invert takes no argument")
        return Shift(kind)
    if kind == "classes":
        names = tuple(name.strip() for name in argument.split(",") if name.strip())
        if not names:
            raise ValueError(f"'{text}': name at least one class, as in classes:0,3,5")
        return Shift(kind, classes=names)
    near = difflib.get_close_matches(kind, KINDS, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else f"; known are {', '.join(KINDS)}"
    raise ValueError(f"'{text}' is no known shift{hint}")
