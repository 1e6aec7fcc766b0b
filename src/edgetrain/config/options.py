"""The bridge from configuration models to command-line options.

A flag is written once, as a field of a model. Its name follows one rule: a field of the stage's own section
becomes `--field-name`, a field of a shared section `--section-field-name`; the model says where a flag is
called otherwise (`setting(flag="--lr")`). Values travel as text, so that pydantic judges all of them at once
and a user sees every mistake in one go.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from .base import Section
from .model_names import known_models
from .shift import FORMS
from .stages import COMMANDS

Kind = Literal["value", "switch", "list", "mapping"]

_METAVARS: dict[Any, str] = {int: "INTEGER", float: "FLOAT", str: "TEXT", Path: "PATH"}
# Values that a key may have among others, for completion.
_SUGGESTED: dict[str, Callable[[], Sequence[str]]] = {
    "model.name": known_models,
    "data.shift": lambda: FORMS,
}


@dataclass(frozen=True)
class Flag:
    """One configuration key as a command-line option.

    Attributes:
        path: the key as (section, field).
        names: the flag; for a switch the pair that turns it on and off.
        kind: how it is written: one value, an on/off pair, a repeatable value, or repeatable NAME=VALUE.
        commas: several values of a list may be given at once, with commas between.
        choices: the allowed values where they are few and known.
        default: the default as shown by `--help`; empty where the help text explains it.
        panel: heading the flag is listed under.
    """

    path: tuple[str, str]
    names: tuple[str, ...]
    kind: Kind
    commas: bool
    metavar: str
    choices: tuple[Any, ...]
    help: str
    default: str
    panel: str

    @property
    def key(self) -> str:
        """The key in dotted form, as in `train.epochs`."""
        return ".".join(self.path)

    @property
    def parameter(self) -> str:
        """Name of the Python parameter that carries the flag."""
        return "__".join(self.path)

    def signature_parameter(self) -> inspect.Parameter:
        """The flag as a parameter Typer understands; it is `None` or an empty list where not given."""
        annotation: Any
        default: Any = None
        if self.kind == "switch":
            annotation = bool | None
        elif self.kind == "value":
            annotation = str | None
        else:
            annotation, default = list[str], []
        option = typer.Option(
            "/".join(self.names),
            help=_escape(self.help),
            metavar=None if self.kind == "switch" else self.metavar,
            show_default=False,
            rich_help_panel=self.panel,
            autocompletion=_completer(self),
        )
        if self.default:
            option.help = f"{option.help} [dim]\\[default: {_escape(self.default)}][/dim]"
        return inspect.Parameter(
            self.parameter,
            inspect.Parameter.KEYWORD_ONLY,
            default=default,
            annotation=Annotated[annotation, option],
        )


@functools.lru_cache
def flags_of(command: str) -> tuple[Flag, ...]:
    """All flags a command gets from its configuration; those of its own section come first."""
    sections = COMMANDS[command].model_fields
    ordered = sorted(sections, key=lambda name: name != command)
    return tuple(flag for name in ordered for flag in section_flags(command, name, _model(sections[name])))


def given_values(command: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What was given on the command line, as dotted key → raw value.

    Args:
        command: name of the command, as in `config.stages.COMMANDS`.
        arguments: what Typer passed to the function, by parameter name.
    """
    values = {flag.key: arguments.get(flag.parameter) for flag in flags_of(command)}
    return {key: value for key, value in values.items() if value is not None and value != [] and value != ()}


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, without None; the annotation itself where it is no union."""
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(member for member in get_args(annotation) if member is not type(None))
    return (annotation,)


def choices_of(annotation: Any) -> tuple[Any, ...]:
    """The allowed values of a Literal, of an optional Literal or of a list of them; else nothing."""
    for member in alternatives(annotation):
        if get_origin(member) is Literal:
            return get_args(member)
        if get_origin(member) is list:
            return choices_of(get_args(member)[0])
    return ()


def kind_of(annotation: Any) -> Kind:
    """How values of this type are written on the command line."""
    for member in alternatives(annotation):
        if member is bool:
            return "switch"
        if get_origin(member) is list:
            return "list"
        if get_origin(member) is dict:
            return "mapping"
    return "value"


def _model(field: FieldInfo) -> type[Section]:
    assert isinstance(field.annotation, type)
    assert issubclass(field.annotation, Section)
    return field.annotation


def section_flags(command: str, section: str, model: type[Section]) -> Iterable[Flag]:
    """The flags that a section has in a command, in the order of its fields."""
    prefix = "" if section == command else f"{section}-"
    for name, setting in model.model_fields.items():
        yield _flag(section, name, prefix, setting)


def _flag(section: str, name: str, prefix: str, field: FieldInfo) -> Flag:
    extra = field.json_schema_extra
    marks = extra if isinstance(extra, dict) else {}
    long = str(marks.get("flag") or f"--{prefix}{name}".replace("_", "-"))
    kind = kind_of(field.annotation)
    return Flag(
        path=(section, name),
        names=(long, f"--no-{long.removeprefix('--')}") if kind == "switch" else (long,),
        kind=kind,
        commas=kind == "list" and marks.get("commas") is not False,
        metavar=_metavar(field.annotation, kind),
        choices=choices_of(field.annotation),
        help=_help(field),
        default=_shown_default(field, long),
        panel=section.capitalize(),
    )


def _metavar(annotation: Any, kind: Kind) -> str:
    if kind == "mapping":
        return "NAME=VALUE"
    choices = choices_of(annotation)
    if choices:
        return "NAME" if _many(choices) else f"[{'|'.join(map(str, choices))}]"
    member = alternatives(annotation)[0]
    item = get_args(member)[0] if kind == "list" else member
    return _METAVARS.get(item, "TEXT")


def _many(choices: tuple[Any, ...]) -> bool:
    """Whether the choices are too many for the narrow column of types."""
    return sum(len(str(choice)) + 1 for choice in choices) > 28


def _help(field: FieldInfo) -> str:
    choices = choices_of(field.annotation)
    listed = f": {', '.join(map(str, choices))}" if _many(choices) else ""
    return f"{field.description or ''}{listed}"


def _shown_default(field: FieldInfo, flag: str) -> str:
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is None or default in ([], {}):
        return ""
    if isinstance(default, bool):
        return flag.removeprefix("--") if default else f"no-{flag.removeprefix('--')}"
    if isinstance(default, list):
        return ", ".join(map(str, default))
    return str(default)


def key_completer(command: str) -> Callable[[str], list[str]]:
    """Completes KEY=VALUE of a command's configuration."""

    def complete(incomplete: str) -> list[str]:
        key, equals, value = incomplete.partition("=")
        if not equals:
            return _beginning(key, (f"{flag.key}=" for flag in flags_of(command)))
        values = (_values_of(flag) for flag in flags_of(command) if flag.key == key)
        return [f"{key}={found}" for found in _beginning(value, itertools.chain(*values))]

    return complete


def _values_of(flag: Flag) -> Sequence[str]:
    """What is known of its values."""
    if flag.kind == "switch":
        return ("true", "false")
    if flag.key in _SUGGESTED:
        return _SUGGESTED[flag.key]()
    return [str(choice) for choice in flag.choices]


def _completer(flag: Flag) -> Callable[[str], list[str]] | None:
    if not flag.choices and flag.key not in _SUGGESTED:
        return None

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",") if flag.commas else ("", "", incomplete)
        return [before + comma + found for found in _beginning(last, _values_of(flag))]

    return complete


def _beginning(start: str, known: Iterable[str]) -> list[str]:
    return [word for word in known if word.startswith(start)]


def _escape(text: str) -> str:
    """Keeps Rich from reading `[pixels]` as markup."""
    return text.replace("[", "\\[")
