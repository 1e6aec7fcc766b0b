"""What pydantic finds wrong, in the words of this project."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Callable, Collection, Mapping
from typing import Any

_NUMBER_TEXT = re.compile(r"^[-+]?(\d{1,20}\.?\d{0,20}|\.\d{1,20})([eE][-+]?\d{1,4})?$")


def worded(detail: Mapping[str, Any]) -> str:
    """One of the errors of a `ValidationError`, without its place."""
    kind = detail["type"]
    if kind in _WORDING:
        return f"{_WORDING[kind](detail.get('ctx', {}))} (got {short(detail['input'])})"
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    message = str(detail["msg"])
    return message[:1].lower() + message[1:]


def dotted(path: tuple[Any, ...]) -> str:
    """`bench.threads[1]` for ("bench", "threads", 1)."""
    text = ""
    for part in path:
        if isinstance(part, int) and not isinstance(part, bool):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else str(part)
    return text


def short(value: Any) -> str:
    """The value as an error shows it: never long, never deep, numbers without quotes."""
    if isinstance(value, str) and _NUMBER_TEXT.match(value):
        return value
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    return reprlib.repr(value)


def _constantly(text: str) -> Callable[[dict[str, Any]], str]:
    return lambda _: text


_WHOLE, _NUMBER, _SWITCH = map(
    _constantly, ("must be a whole number", "must be a number", "must be true or false")
)

# Pydantic's error types in the words of this project; what it calls the bounds is in the context.
_WORDING: dict[str, Callable[[dict[str, Any]], str]] = {
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_type": _WHOLE,
    "int_from_float": _WHOLE,
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "finite_number": _constantly("must be a finite number"),
    "bool_parsing": _SWITCH,
    "bool_type": _SWITCH,
    "string_type": _constantly("must be text"),
    "path_type": _constantly("must be a path"),
    "list_type": _constantly("must be a list"),
    "dict_type": _constantly("must be a mapping of names to values"),
    "model_type": _constantly("must be a section with keys"),
    "invalid_key": _constantly("keys must be text"),
    "greater_than": lambda ctx: f"must be greater than {ctx['gt']:g}",
    "greater_than_equal": lambda ctx: f"must be at least {ctx['ge']:g}",
    "less_than": lambda ctx: f"must be less than {ctx['lt']:g}",
    "less_than_equal": lambda ctx: f"must be at most {ctx['le']:g}",
    "too_short": lambda ctx: f"needs at least {ctx['min_length']} value(s)",
    "too_long": lambda ctx: f"takes at most {ctx['max_length']} value(s)",
}


def did_you_mean(word: str, known: Collection[str]) -> str:
    """`did you mean 'x'?`, or an empty string when nothing is near."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean '{near[0]}'?" if near else ""
