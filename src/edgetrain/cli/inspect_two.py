"""`edgetrain inspect FILE OTHER`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .command import Invocation
from .console import plain
from .tables import Table
from .text import number_text

# Names of one kind, and tensors that differ, as many as are shown.
_NAMES = 3
_ROWS = 20


def inspect_two(run: Invocation, first: Path, second: Path) -> None:
    """Shows in what two files of tensors differ."""
    from ..artifacts.compare_tensors import compare_tensors

    found = plain(compare_tensors(first, second))
    rows = [
        *((f"left off in {path}", prefix) for path, prefix in found["left_off"].items()),
        (f"only in {first}", _listed(found["only_in_first"])),
        (f"only in {second}", _listed(found["only_in_second"])),
        *((f"shape of {name}", f"{a} → {b}") for name, (a, b) in found["other_shapes"].items()),
        ("equal", str(found["equal"])),
        *((row["name"], _difference(row)) for row in found["differing"][:_ROWS]),
    ]
    hidden = len(found["differing"]) - _ROWS
    more = [f"  {hidden} more differ; --json has them"] if hidden > 0 else []
    run.output.result(
        Table(f"{first} and {second}", rows, below=more),
        {"command": "inspect", "file": first, "other": second, **found},
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMES]) + (", ..." if len(names) > _NAMES else "")
    return f"{len(names)}: {shown}" if names else "none"


def _difference(row: Mapping[str, Any]) -> str:
    dtypes = " → ".join(dict.fromkeys(row["dtypes"]))
    largest, relative = number_text(row["largest"], 2), number_text(row["relative"], 2)
    return f"{dtypes} {row['shape']}  differs by {largest}, {relative} of the largest"
