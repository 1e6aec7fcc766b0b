"""YAML as configurations need it: plain data, no key twice, numbers as YAML 1.2 reads them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from ..errors import ConfigError


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, refusing repeated keys and reading numbers as YAML 1.2 does: 1e-3 is one, 1:30 is
    none (but 90 in YAML 1.1), and 010 is ten."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"the key '{key.value}' is there already (line {seen[key.value]})",
                    key.start_mark,
                )
            seen[str(key.value)] = line
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        """An int or a float, or the text of what is none."""
        text = self.construct_scalar(node)
        if ":" in text:
            return text
        if node.tag.endswith(":float"):
            return self.construct_yaml_float(node)
        if re.fullmatch(r"[-+]?0[0-9_]+", text):
            return int(text.replace("_", ""))
        return self.construct_yaml_int(node)


_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)

for _kind in ("int", "float"):
    _StrictLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _StrictLoader.construct_number)


def parse_value(text: str) -> Any:
    """One value in YAML.

    Raises:
        ValueError: it is not valid; the message says why, in one line.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        raise ValueError(_problem(error)) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_yaml(file: Path, named_by: str = "--config") -> Any:
    """What a file holds; None for an empty one.

    Args:
        named_by: the flag that named it, for messages.
    Raises:
        ConfigError: it can't be read, or is not valid; says where.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError([f"{file}: the file does not exist [{named_by}]"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{file}: the file is not UTF-8 text [{named_by}]"]) from None
    except OSError as error:
        raise ConfigError([f"{file}: {error.strerror or error} [{named_by}]"]) from None
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError([f"{file}{_line(error)}: {_problem(error)}"]) from None


def _problem(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, yaml.MarkedYAMLError):
        parts = [str(part) for part in (error.problem, error.context) if part]
        if error.problem and error.problem.startswith("but "):
            parts.reverse()
        return " ".join(parts) or "not valid YAML"
    return str(error).strip().splitlines()[0]


def _line(error: Exception) -> str:
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    return f":{mark.line + 1}" if mark else ""
