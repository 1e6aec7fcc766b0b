"""The table of promises tells what became of each test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = """
import os, signal
import pytest

@pytest.mark.promise("kept", cases=3)
def test_kept(): pass

@pytest.mark.promise("half kept", cases=2)
def test_one(): pass

@pytest.mark.promise("half kept", cases=5)
def test_other(): assert False

@pytest.mark.promise("crashed", cases=7)
def test_crash(): os.kill(os.getpid(), signal.SIGSEGV)

@pytest.mark.promise("skipped")
def test_skipped(): pytest.skip("no time")

@pytest.mark.thorough
@pytest.mark.promise("thorough")
def test_thorough(): pass
"""


@pytest.mark.slow
def test_what_did_not_pass_is_not_held(tmp_path: Path) -> None:
    (tmp_path / "test_promises.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.reliability", "--daily", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    rows = [
        [cell.strip() for cell in line.strip("| ").split(" | ")]
        for line in done.stdout.splitlines()
        if "test_promises.py` |" in line
    ]
    assert [[row[0], *row[2:]] for row in rows] == [
        ["crashed", "0", "not held; 1 failed"],
        ["half kept", "2", "not held; 1 failed"],
        ["kept", "3", "held"],
        ["skipped", "0", "not held; 1 skipped"],
    ]


@pytest.mark.slow
def test_the_table_of_the_docs_has_all_promises_and_tests() -> None:
    code = (
        "import json; from benchmarks.reliability import collected, where;"
        "found = collected(['tests', '-m', 'promise', '-p', 'no:cacheprovider']).tests;"
        "print(json.dumps({text: where(tests) for text, tests in found.items()}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = json.loads(done.stdout.splitlines()[-1])
    page = (ROOT / "docs" / "reliability.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if "| `tests/" in line]
    assert {text: files for text, files, *_ in rows} == expected
    assert all(result.startswith("held") for *_, result in rows)
