"""From a YAML file, `--set` and flags to a checked configuration.

Precedence: flag > `--set` > `--config` file > default. Every mistake is found before any is reported, and
each is reported with the place it came from.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from ..errors import ConfigError
from .base import Section
from .options import choices_of, flags_of
from .stages import COMMANDS, SECTIONS
from .strict_yaml import parse_value, read_yaml
from .wording import dotted, short, worded

# (section, key, ...)
KeyPath = tuple[Any, ...]


def load_config(
    command: str,
    *,
    file: Path | None = None,
    overrides: Iterable[str] = (),
    flags: Mapping[str, Any] | None = None,
) -> Any:
    """Reads, merges and checks the configuration of one command.

    Args:
        command: a key of `config.stages.COMMANDS`.
        file: YAML file; it may hold sections of other commands, which are checked and left out.
        overrides: `section.key=VALUE` with VALUE in YAML.
        flags: values of command-line flags by dotted key, as text.
    Returns:
        The command's model.
    Raises:
        ConfigError: with all problems found, one line each.
    """
    tree = _Tree()
    if file is not None:
        _add_file(tree, command, file)
    for text in overrides:
        _add_override(tree, command, text)
    for key, value in (flags or {}).items():
        _add_flag(tree, command, key, value)
    config = _validated(COMMANDS[command], tree)
    if tree.problems:
        raise ConfigError(tree.problems)
    return config


# --- merging -----------------------------------------------------------------------------------------------


@dataclass
class _Tree:
    """The merged values, where each came from, and what was wrong on the way."""

    values: dict[Any, Any] = field(default_factory=dict)
    origins: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def put(self, path: KeyPath, value: Any, origin: str) -> None:
        """Sets one value; mappings are merged key by key, everything else is replaced."""
        if isinstance(value, dict) and (len(path) < 2 or (value and isinstance(self.get(path), dict))):
            for key, item in value.items():
                self.put((*path, key), item, origin)
            return
        node = self.values
        for key in path[:-1]:
            if not isinstance(node.get(key), dict):
                node[key] = {}
            node = node[key]
        # A new value takes the place of everything that was below it.
        self.origins = {known: name for known, name in self.origins.items() if known[: len(path)] != path}
        node[path[-1]] = dict(value) if isinstance(value, dict) else value
        self.origins[path] = origin

    def get(self, path: KeyPath) -> Any:
        node: Any = self.values
        for key in path:
            node = node.get(key) if isinstance(node, dict) else None
        return node

    def origin(self, path: KeyPath) -> str:
        """Where a value came from; for a whole section, all places that gave a part of it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        below = [name for known, name in self.origins.items() if known[: len(path)] == path]
        return ", ".join(dict.fromkeys(below))

    def complain(self, path: KeyPath, message: str, origin: str) -> None:
        source = f" [{origin}]" if origin else ""
        self.problems.append(f"{dotted(path)}: {message}{source}")


def _add_file(tree: _Tree, command: str, file: Path) -> None:
    sections = read_yaml(file)
    if sections is None:
        return
    if not isinstance(sections, dict):
        tree.problems.append(
            f"{file}: must hold sections such as 'train:' with keys below (got {short(sections)})"
        )
        return
    for name, values in sections.items():
        if name not in SECTIONS:
            tree.complain((name,), f"unknown section{_section_hint(name)}", str(file))
        elif values is None:
            continue  # `train:` with nothing below it
        elif not isinstance(values, dict):
            tree.complain((name,), f"must be a section with keys (got {short(values)})", str(file))
        elif name in COMMANDS[command].model_fields:
            tree.put((name,), values, str(file))
        elif name in SECTIONS:
            _check_unused(tree, name, values, str(file))


def _check_unused(tree: _Tree, name: str, values: dict[Any, Any], origin: str) -> None:
    """Finds mistakes in a section another command will read."""
    other = _Tree()
    other.put((name,), values, origin)
    commands = (model for model in COMMANDS.values() if name in model.model_fields)
    _validated(next(commands), other)
    tree.problems += other.problems


def _add_override(tree: _Tree, command: str, text: str) -> None:
    key, equals, raw = text.partition("=")
    path: KeyPath = tuple(part.strip() for part in key.split("."))
    if not equals or not all(path):
        tree.problems.append(f"--set {short(text)}: write KEY=VALUE, as in --set data.seed=1")
        return
    problem = _misplaced(command, path)
    if problem:
        tree.complain(path, problem, "--set")
        return
    try:
        value = parse_value(raw)
    except ValueError as error:
        tree.complain(path, f"the value is not valid YAML: {error}", "--set")
        return
    if len(path) == 1 and not isinstance(value, dict):
        tree.complain(path, f"must be a section with keys (got {short(value)})", "--set")
        return
    tree.put(path, value, "--set")


def _misplaced(command: str, path: KeyPath) -> str | None:
    """What is wrong with naming this section on this command line, if anything."""
    sections = COMMANDS[command].model_fields
    if path[0] in sections:
        return None
    if path[0] in SECTIONS:
        return f"'edgetrain {command}' does not read the section '{path[0]}'; it reads {', '.join(sections)}"
    if len(path) == 1:
        return f"unknown key{_home_hint(path[0]) or _section_hint(path[0])}"
    return f"unknown section '{path[0]}'{_section_hint(path[0])}"


def _add_flag(tree: _Tree, command: str, key: str, value: Any) -> None:
    flag = next(flag for flag in flags_of(command) if flag.key == key)
    name = flag.names[-1] if value is False and flag.kind == "switch" else flag.names[0]
    if flag.kind == "mapping" and not isinstance(value, Mapping):
        for text in value:
            argument, equals, raw = text.partition("=")
            try:
                if not (argument and equals):
                    raise ValueError(f"write NAME=VALUE (got {short(text)})")
                tree.put((*flag.path, argument), parse_value(raw), name)
            except ValueError as error:
                tree.complain(flag.path, str(error), name)
        return
    if flag.kind == "list":
        parts = [part for item in value for part in (item.split(",") if flag.commas else [item])]
        value = [_as_choice(part.strip(), flag.choices) for part in parts]
    tree.put(flag.path, _as_choice(value, flag.choices), name)


def _as_choice(value: Any, choices: tuple[Any, ...]) -> Any:
    """`"3"` as the choice 3: pydantic compares the values of a Literal without converting them."""
    if isinstance(value, str):
        return next((choice for choice in choices if str(choice) == value), value)
    return value


# --- checking ----------------------------------------------------------------------------------------------


def _validated(model: type[Section], tree: _Tree) -> Section | None:
    """The model, or None with the problems added to the tree."""
    refused = _refuse_booleans(model, tree)
    try:
        return model.model_validate(tree.values)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            path = tuple(detail["loc"])
            if path[-1:] == ("[key]",):
                tree.complain(path[:-2], f"keys must be text (got {short(path[-2])})", tree.origin(path[:-1]))
            elif path not in refused:
                tree.complain(path, _message(model, dict(detail), path), tree.origin(path))
    return None


def _refuse_booleans(model: type[Section], tree: _Tree) -> set[KeyPath]:
    """Pydantic would read `epochs: true` as 1; nobody means that."""
    refused = set()
    for path, annotation in _leaves(model):
        value = tree.get(path)
        values = value if isinstance(value, list) else [value]
        if any(isinstance(item, bool) for item in values) and not _admits_boolean(annotation):
            tree.complain(path, f"must not be true or false (got {short(value)})", tree.origin(path))
            refused |= {path, *((*path, index) for index in range(len(values)))}
    return refused


def _leaves(model: type[Section]) -> Iterable[tuple[KeyPath, Any]]:
    for section, outer in model.model_fields.items():
        assert isinstance(outer.annotation, type)
        for name, inner in outer.annotation.model_fields.items():
            yield (section, name), inner.annotation


def _admits_boolean(annotation: Any) -> bool:
    return annotation in (bool, Any) or any(_admits_boolean(part) for part in get_args(annotation))


def _message(model: type[Section], detail: dict[str, Any], path: KeyPath) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return f"unknown key{_key_hint(model, path)}"
    if kind == "literal_error":
        return _choice_message(model, path, detail["input"])
    return worded(detail)


def _choice_message(model: type[Section], path: KeyPath, value: Any) -> str:
    annotation = next((kind for leaf, kind in _leaves(model) if leaf == path[:2]), None)
    choices = [str(choice) for choice in choices_of(annotation)]
    near = difflib.get_close_matches(str(value).lower(), choices, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"must be one of {', '.join(choices)} (got {short(value)}){hint}"


def _key_hint(model: type[Section], path: KeyPath) -> str:
    """Suggests a key of the same section, or the section that has this very key."""
    siblings = [leaf[1] for leaf, _ in _leaves(model) if leaf[0] == path[0]]
    near = difflib.get_close_matches(str(path[-1]), siblings, n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    return _home_hint(str(path[-1])) or f"; known are {', '.join(siblings)}"


def _home_hint(name: Any) -> str:
    """`lr` is known, but lives in the section `optimizer`."""
    homes = [f"'{section}.{name}'" for section, model in SECTIONS.items() if name in model.model_fields]
    return f"; did you mean {' or '.join(homes)}?" if homes else ""


def _section_hint(name: Any) -> str:
    near = difflib.get_close_matches(str(name), SECTIONS, n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    return _home_hint(name) or f"; known are {', '.join(SECTIONS)}"
