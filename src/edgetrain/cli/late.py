"""Subcommands that are loaded when they are called.

A page of help has to be there at once; the modules and settings of commands that it doesn't show would take
most of its time.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

HELP_NAMES: dict[str, Any] = {"help_option_names": ["--help", "-h"]}


@dataclass(frozen=True)
class Subcommand:
    """What is known of a subcommand before its module is loaded.

    Attributes:
        name: also that of its module in this package, and of the function in it, with `_` for `-`.
        help: what the command does.
        configured: it has a configuration: it gets `--config`, `--set` and the models' flags.
        writes: it has outputs: it gets `--force`.
    """

    name: str
    help: str
    configured: bool = True
    writes: bool = True


class PlainSwitches:
    """What is turned on and off has no type, so that help shows none."""

    def get_params(self, context: Any) -> Any:
        parameters = super().get_params(context)  # type: ignore[misc]
        for parameter in parameters:
            if getattr(parameter, "is_flag", False) and parameter.metavar is None:
                parameter.metavar = ""
        return parameters


class Command(PlainSwitches, TyperCommand):
    """A subcommand with its parameters."""


class LateCommand(TyperCommand):
    """Name and help of a subcommand, for lists of them. It has no parameters; `made` has."""

    def __init__(self, subcommand: Subcommand) -> None:
        super().__init__(subcommand.name, help=subcommand.help)
        self._subcommand = subcommand

    @functools.cached_property
    def made(self) -> Any:
        """The command itself, a `TyperCommand`."""
        from .command import make_command

        known = self._subcommand
        function = known.name.replace("-", "_")
        body = getattr(importlib.import_module(f"{__package__}.{function}"), function)
        callback = make_command(known.name, body, configured=known.configured, writes=known.writes)
        program = typer.Typer(add_completion=False, context_settings=HELP_NAMES)
        program.command(known.name, cls=Command, help=known.help)(callback)
        return typer.main.get_command(program)

    def make_context(self, *arguments: Any, **settings: Any) -> Any:
        """Of the command itself, which the context then belongs to: it parses, completes and is called."""
        return self.made.make_context(*arguments, **settings)


def group_of(subcommands: Iterable[Subcommand]) -> type[TyperGroup]:
    """The class of a `Typer` program that has these subcommands."""

    class Group(PlainSwitches, TyperGroup):
        def __init__(self, **settings: Any) -> None:
            late = {subcommand.name: LateCommand(subcommand) for subcommand in subcommands}
            super().__init__(**{**settings, "commands": late})

    return Group
