"""Markdown tables, and the line that says what machine their numbers come from."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgetrain.bench.machine import describe_machine

from .native_build import native_program


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Numbers with three digits; columns of numbers to the right."""
    texts = [[text_of(cell) for cell in row] for row in rows]
    numeric = [
        all(isinstance(row[i], (int, float)) or row[i] is None for row in rows) for i in range(len(head))
    ]
    lines = [head, ["---:" if number else "---" for number in numeric], *texts]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def text_of(cell: Any) -> str:
    if cell is None:
        return ""
    if not isinstance(cell, float):
        return str(cell)
    return f"{cell:.0f}" if abs(cell) >= 100 else f"{cell:.3g}"


def machine() -> dict[str, Any]:
    """As in bench.json, with the compiler of the native build."""
    return {**describe_machine(), "compiler": _compiler()}


def describe(machine: dict[str, Any]) -> str:
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['compiler']}, torch {machine['torch']}, "
        f"load average {machine['load_average']:.1f}"
    )


def write_json(document: dict[str, Any], output: Path | None) -> None:
    """To a file, or to stdout."""
    text = json.dumps(document, indent=1) + "\n"
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text)


def _compiler() -> str:
    """As CMake noted it."""
    found = sorted(native_program("CMakeCache.txt").parent.glob("CMakeFiles/*/CMakeCXXCompiler.cmake"))
    text = found[-1].read_text()
    name, version = (
        re.search(rf'set\(CMAKE_CXX_COMPILER_{word} "(.*)"\)', text)[1] for word in ("ID", "VERSION")
    )
    return f"{name} {version}"
