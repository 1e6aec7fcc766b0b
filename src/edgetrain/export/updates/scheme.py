"""The values of `export.update` as rules, which all of them can be written as."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...config.update_rules import UpdateRule, read_update_rules


@dataclass(frozen=True)
class Scheme:
    """What is to be trained. The first rule that fits a parameter counts; one that none fits is frozen.

    Attributes:
        origin: where the rules come from, for messages.
    """

    origin: str
    rules: list[UpdateRule]


def read_scheme(update: str) -> Scheme:
    """A value of `export.update` as rules; those of a budget have to be searched (`budget/`).

    Raises:
        ConfigError: a rules file can't be read, or is wrong.
    """
    name, _, argument = update.partition(":")
    if name == "rules":
        return Scheme(argument, read_update_rules(Path(argument)))
    return Scheme(f"--update {update}", _SCHEMES[name](argument))


def _full(_: str) -> list[UpdateRule]:
    return [UpdateRule(pattern="*", train="all")]


def _last(count: str) -> list[UpdateRule]:
    return [UpdateRule(last_layers=int(count), train="all")]


def _head(_: str) -> list[UpdateRule]:
    return _last("1")


def _bias(_: str) -> list[UpdateRule]:
    """As TinyTL (arXiv 2007.11622) does: gradients of biases need no activations, those of scales do, so that
    scales are left out; the head, which has a new task to learn, is trained whole."""
    return [*_head(""), UpdateRule(pattern="*", train="bias")]


_SCHEMES: dict[str, Callable[[str], list[UpdateRule]]] = {
    "full": _full,
    "head": _head,
    "last": _last,
    "bias": _bias,
}
