"""Which operators train right.

`python -m benchmarks.operators` exports each in small nets and compares these with eager PyTorch, as `make
test-all` does, and writes the list in docs/models.md.

Results are kept beside, so that a run can be cut short and gone on with, and operators be looked at again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from .native_build import ROOT
from .tables import describe, machine, table

sys.path.insert(0, str(ROOT / "tests" / "fidelity"))

from lab import Lab, RefusedError, open_lab
from operator_list import FAMILIES
from operator_losses import LOSSES, faults_of_losses
from operator_table import faults_of_uses

_DOCS = ROOT / "docs" / "models.md"
_BEGIN, _END = "<!-- operators: begin -->", "<!-- operators: end -->"
RIGHT = "right"
# A verdict, or why it is none: what is wrong, or the sentence of the refusal.
Look = Callable[[Lab], str]


def looks() -> dict[str, dict[str, Look]]:
    """What tells of each operator, by family and name."""
    found: dict[str, dict[str, Look]] = {}
    for family, operators in FAMILIES.items():
        for operator in operators:
            found.setdefault(family, {})[operator.name] = lambda lab, o=operator: _verdict(
                lambda: faults_of_uses(lab, o.uses, **o.settings)
            )
    found["losses"] = {
        loss.name: lambda lab, loss=loss: _verdict(lambda: faults_of_losses(lab, [loss])) for loss in LOSSES
    }
    return found


def _verdict(look: Callable[[], list[str]]) -> str:
    try:
        faults = look()
    except RefusedError as error:
        return f"refused: {error}"
    return f"wrong: {faults[0]}" if faults else RIGHT


def describe_results(results: Mapping[str, Mapping[str, str]]) -> str:
    """The list of what is right, and the table of what isn't."""
    right = []
    for family, verdicts in results.items():
        names = [name for name, verdict in verdicts.items() if verdict == RIGHT]
        if names:
            right.append(f"- {family}: {'; '.join(names)}")
    rows: list[list[object]] = [
        [name, verdict.replace("|", "\\|")]
        for found in results.values()
        for name, verdict in found.items()
        if verdict != RIGHT
    ]
    others = f"\n\nNot so:\n\n{table(['operator', 'what is said of it'], rows)}" if rows else ""
    return "\n".join(right) + others


def write_list(results: Mapping[str, Mapping[str, str]], docs: Path) -> None:
    """Puts the list between its markers."""
    before, rest = docs.read_text().split(_BEGIN)
    after = rest.split(_END)[1]
    by = f"By `python -m benchmarks.operators` on: {describe(machine())}"
    docs.write_text(f"{before}{_BEGIN}\n{describe_results(results)}\n\n{by}\n{_END}{after}")


def main() -> None:
    arguments = _parse()
    path: Path = arguments.results
    results = json.loads(path.read_text()) if path.is_file() else {}
    wanted = looks()
    with open_lab() as lab:
        for family, operators in wanted.items():
            kept = results.setdefault(family, {})
            for name, look in operators.items():
                asked = (
                    not arguments.operators or name in arguments.operators or family in arguments.operators
                )
                if not asked or (name in kept and not arguments.again):
                    continue
                started = time.perf_counter()
                kept[name] = look(lab)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(results))
                print(f"{time.perf_counter() - started:6.1f} s  {family}: {name}: {kept[name]}", flush=True)
    if not arguments.no_list:
        # In the order of the tables, without what these have no more.
        write_list(
            {f: {n: results[f][n] for n in ops if n in results[f]} for f, ops in wanted.items()}, _DOCS
        )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operators", description=__doc__)
    parser.add_argument("operators", nargs="*", help="names, or families; default: all")
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "operators.json")
    parser.add_argument("--again", action="store_true", help="also what has a result already")
    parser.add_argument("--no-list", action="store_true", help="leave docs/models.md as it is")
    return parser.parse_args()


if __name__ == "__main__":
    main()
