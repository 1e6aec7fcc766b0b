"""What edgetrain promises about damage, crashes and untrusted files, and whether it holds.

`python -m benchmarks.reliability` runs the tests that bear the marker `promise`, those of `make test-all` as
well, and writes the table of docs/reliability.md. `--daily` leaves out what takes more than minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import pytest

from .native_build import ROOT
from .tables import table

_DOCS = ROOT / "docs" / "reliability.md"
_AT_ONCE = ["--numprocesses", "2", "--dist", "worksteal"]  # as in the Makefile
_BEGIN, _END = "<!-- promises: begin -->", "<!-- promises: end -->"


class Promises:
    """A plugin of pytest that adds up cases and outcomes by promise, which `tests/conftest.py` notes
    with each test."""

    def __init__(self) -> None:
        self.files: dict[str, set[str]] = {}
        self.cases: Counter[str] = Counter()
        self.outcomes: dict[str, Counter[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        for name, value in report.user_properties:
            if name == "promise":
                text, cases = value
                self.files.setdefault(text, set()).add(report.nodeid.split("::")[0])
                self.outcomes.setdefault(text, Counter())[report.outcome] += 1
                self.cases[text] += cases if report.outcome == "passed" else 0


def describe_promises(found: Promises) -> str:
    """The table."""
    rows = []
    for text in sorted(found.files):
        outcomes = found.outcomes[text]
        held = "held" if not outcomes["failed"] else f"{outcomes['failed']} tests failed"
        skipped = f"; {outcomes['skipped']} skipped" if outcomes["skipped"] else ""
        where = ", ".join(f"`{name}`" for name in sorted(found.files[text]))
        rows.append([text, where, found.cases[text], held + skipped])
    return table(["promise", "tests", "cases", "result"], rows)


def main() -> int:
    """Runs the tests; the exit code is pytest's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--daily", action="store_true")
    parser.add_argument("tests", nargs="*", type=Path, help="files or folders of tests; default: all")
    arguments = parser.parse_args()
    found = Promises()
    wanted = "promise and not thorough" if arguments.daily else "promise"
    code = pytest.main(
        ["-m", wanted, *_AT_ONCE, "--rootdir", str(ROOT), *map(str, arguments.tests or [ROOT / "tests"])],
        plugins=[found],
    )
    text = describe_promises(found)
    if arguments.tests:
        print(text)
    else:
        before, rest = _DOCS.read_text().split(_BEGIN)
        _DOCS.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{rest.split(_END)[1]}")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
