"""What edgetrain promises about damage, crashes and untrusted files, and whether it holds.

`python -m benchmarks.reliability` runs the tests that bear the marker `promise`, those of `make test-all` as
well, and writes the table of docs/reliability.md. `--daily` leaves out what takes more than minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from .native_build import ROOT
from .tables import table

_DOCS = ROOT / "docs" / "reliability.md"
_AT_ONCE = ["--numprocesses", "2", "--dist", "worksteal"]  # as in the Makefile
_BEGIN, _END = "<!-- promises: begin -->", "<!-- promises: end -->"


class Promises:
    """A plugin of pytest: which tests hold which promises, and what became of them.

    Tests are looked up where they are collected, in this process, since a process of pytest's that dies tells
    nothing of its tests but their names.
    """

    def __init__(self) -> None:
        self.tests: dict[str, dict[str, int]] = {}  # by promise and test, the cases in it
        self.outcomes: dict[str, str] = {}

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        for marker in item.iter_markers("promise"):
            self.tests.setdefault(marker.args[0], {})[item.nodeid] = marker.kwargs.get("cases", 1)

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        for tests in self.tests.values():
            for item in items:
                tests.pop(item.nodeid, None)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            before = self.outcomes.get(report.nodeid, "")
            self.outcomes[report.nodeid] = "failed" if before == "failed" else report.outcome


def collected(arguments: list[str]) -> Promises:
    """The tests that pytest finds by these arguments."""
    found = Promises()
    code = pytest.main(["--collect-only", "-qq", *arguments], plugins=[found])
    if code:
        sys.exit(int(code))
    return found


def where(tests: Iterable[str]) -> str:
    """The files of some tests, as the table has them."""
    return ", ".join(f"`{name}`" for name in sorted({test.split("::")[0] for test in tests}))


def describe_promises(found: Promises) -> str:
    """The table."""
    rows = []
    for text, tests in sorted(found.tests.items()):
        if not tests:
            continue
        ends = Counter(found.outcomes.get(test, "not run") for test in tests)
        cases = sum(count for test, count in tests.items() if found.outcomes.get(test) == "passed")
        missed = [f"{ends[end]} {end}" for end in ("failed", "skipped", "not run") if ends[end]]
        held = ["held"] if ends["passed"] and not ends["failed"] and not ends["not run"] else ["not held"]
        rows.append([text, where(tests), cases, "; ".join(held + missed)])
    return table(["promise", "tests", "cases", "result"], rows)


def main() -> int:
    """Runs the tests; the exit code is pytest's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--daily", action="store_true")
    parser.add_argument("tests", nargs="*", type=Path, help="files or folders of tests; default: all")
    arguments = parser.parse_args()
    tests = [*map(str, arguments.tests or [ROOT / "tests"]), "--rootdir", str(ROOT)]
    tests += ["-m", "promise and not thorough" if arguments.daily else "promise"]
    found = collected(tests)
    code = pytest.main([*_AT_ONCE, *tests], plugins=[found])
    text = describe_promises(found)
    if arguments.tests:
        print(text)
    else:
        before, rest = _DOCS.read_text().split(_BEGIN)
        _DOCS.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{rest.split(_END)[1]}")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
