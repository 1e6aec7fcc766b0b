"""What a file of results or settings holds: reports, predictions, configurations."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..config.strict_yaml import read_yaml
from ..errors import ConfigError, InputError
from .optimization import load_report


def describe_report(path: Path, kind: str) -> dict[str, Any]:
    """A report in JSON, as its command wrote it."""
    return {"kind": kind, **json.loads(path.read_text())}


def describe_optimization(path: Path) -> dict[str, Any]:
    """A report of `edgetrain optimize`; the figures of a step stand beside its sizes.

    Raises:
        InputError: it is damaged.
    """
    report = load_report(path).model_dump(mode="json")
    steps = [{"step": s.pop("step"), **s.pop("figures"), **s} for s in report.pop("steps")]
    return {"kind": "edgetrain optimization report", **report, "steps": steps}


def describe_by_name(path: Path) -> dict[str, Any] | None:
    """What a text is whose first bytes don't tell; None where its name doesn't either.

    Raises:
        InputError: it isn't what its name says.
    """
    reader = _BY_SUFFIX.get(path.suffix.lower())
    return None if reader is None else reader(path)


def _configuration(path: Path) -> dict[str, Any]:
    try:
        values = read_yaml(path)
    except ConfigError as error:
        raise InputError(str(error)) from error
    if not isinstance(values, dict):
        raise InputError(f"{path} is YAML, but no configuration: it holds no sections")
    return {"kind": "configuration", **{str(key): value for key, value in values.items() if key != "kind"}}


def _predictions(path: Path) -> dict[str, Any]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = csv.DictReader(file)
            columns = list(lines.fieldnames or ())
            if columns[:1] != ["sample"]:
                raise InputError(f"{path} is a table, but none that 'edgetrain predict -o' wrote")
            count, right, found = 0, 0, Counter[str]()
            for line in lines:
                count += 1
                right += line.get("right") == "True"
                found[line.get("class") or ""] += 1
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"can't read {path} ({error})") from error
    described: dict[str, Any] = {"kind": "predictions", "samples": count, "columns": columns}
    if "class" in columns:
        described["predicted"] = dict(sorted(found.items()))
    if "right" in columns and count:
        described["accuracy"] = right / count
    return described


_BY_SUFFIX: dict[str, Callable[[Path], dict[str, Any]]] = {
    ".yaml": _configuration,
    ".yml": _configuration,
    ".csv": _predictions,
}
